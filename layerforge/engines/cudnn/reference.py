"""What graphs should give, by our own kernels and array code in float32; cuDNN's plans are held against it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from layerforge.backends.cupy.layout import ChannelsLast, form_of
from layerforge.core.window import Window
from layerforge.engines.cudnn.graphs import (
    BiasGradient,
    Convolution,
    DataGradient,
    Geometry,
    Key,
    Norm,
    NormGradient,
    NormInference,
    Shape,
    WeightGradient,
)


class Reference:
    """Of one backend."""

    def __init__(self, backend: Any) -> None:
        self._backend, self._ops, self._xp = backend, backend.ops, backend.ops.xp

    def outputs(self, key: Key, arrays: dict[str, Any]) -> dict[str, Any] | None:
        """The key's outputs, flat and channels last, from float32 arrays in that order; the mask of a normalisation is
        in cuDNN's own order, so what needs it has none."""
        if isinstance(key, NormGradient) and key.relu and not key.add:
            return None
        makes = {
            Convolution: self._convolution,
            DataGradient: self._data_gradient,
            WeightGradient: self._weight_gradient,
            BiasGradient: self._bias_gradient,
            Norm: self._norm,
            NormInference: self._known,
            NormGradient: self._gradient,
        }
        made = makes[type(key)](key, arrays)
        return {name: self._packed(made[name]) for name in key.outputs}

    def _plain(self, array: Any, shape: Shape) -> Any:
        """Channels last → (N, C, H, W)"""
        plain = self._empty(shape)
        self._layout(shape).unpack(array, plain.reshape(-1))
        return plain

    def _packed(self, plain: Any) -> Any:
        packed = self._empty((plain.size,))
        self._layout(plain.shape).pack(plain.reshape(-1), packed)
        return packed

    def _layout(self, shape: Any) -> ChannelsLast:
        return ChannelsLast(form_of(shape, "FP32"), self._backend.representation, self._ops.kernels)

    def _empty(self, shape: Any) -> Any:
        count = int(np.prod(shape))
        return self._backend.representation.zeros(count, np.dtype(np.float32)).reshape(shape)

    def _how(self, g: Geometry) -> tuple[Window, dict[str, Any]]:
        window, group = Window.make(g.w[2:], g.stride, g.pad, g.dilation, g.pad_end), g.x[1] // g.w[1]
        scratch = self._ops.conv_scratch(g.x, g.w[0], window, group)
        return window, {"group": group, "scratch": self._empty((scratch,))}

    def _ended(self, key: Convolution | NormInference, y: Any, arrays: dict[str, Any], shape: Shape) -> Any:
        """factor · y + bias + z and ReLU, each if asked for."""
        if "factor" in arrays:
            y = y * _wide(arrays["factor"])
        if "bias" in arrays:
            y = y + _wide(arrays["bias"])
        if key.add:
            y = y + self._plain(arrays["z"], shape)
        return self._xp.maximum(y, 0) if key.relu else y

    def _convolution(self, key: Convolution, arrays: dict[str, Any]) -> dict[str, Any]:
        g, (window, how) = key.geometry, self._how(key.geometry)
        x, w, y = self._plain(arrays["x"], g.x), self._plain(arrays["w"], g.w), self._empty(g.y)
        self._ops.conv(x, w, window, out=y, **how)
        return {"y": self._ended(key, y, arrays, g.y)}

    def _data_gradient(self, key: DataGradient, arrays: dict[str, Any]) -> dict[str, Any]:
        g, (window, how) = key.geometry, self._how(key.geometry)
        dy, w, dx = self._plain(arrays["dy"], g.y), self._plain(arrays["w"], g.w), self._empty(g.x)
        self._ops.conv_data_gradient(dy, w, window, out=dx, **how)
        return {"dx": dx}

    def _weight_gradient(self, key: WeightGradient, arrays: dict[str, Any]) -> dict[str, Any]:
        g, (window, how) = key.geometry, self._how(key.geometry)
        x, dy, dw = self._plain(arrays["x"], g.x), self._plain(arrays["dy"], g.y), self._empty(g.w)
        self._ops.conv_weight_gradient(x, dy, window, acc=dw, **how)
        return {"dw": dw}

    def _bias_gradient(self, key: BiasGradient, arrays: dict[str, Any]) -> dict[str, Any]:
        dy = self._plain(arrays["dy"], key.y)
        return {"db": dy.sum(axis=(0, 2, 3), dtype=np.float64).astype(np.float32).reshape(1, -1, 1, 1)}

    def _norm(self, key: Norm, arrays: dict[str, Any]) -> dict[str, Any]:
        x, xp = self._plain(arrays["x"], key.y), self._xp
        mean = x.mean(axis=(0, 2, 3), dtype=np.float64, keepdims=True).astype(np.float32)
        variance = xp.square(x - mean).mean(axis=(0, 2, 3), dtype=np.float64, keepdims=True)
        inv_var = (1 / xp.sqrt(variance + float(arrays["eps"][0]))).astype(np.float32)
        y = (x - mean) * inv_var * _wide(arrays["scale"]) + _wide(arrays["bias"])
        if key.add:
            y = y + self._plain(arrays["z"], key.y)
        return {"y": xp.maximum(y, 0) if key.relu else y, "mean": mean, "inv_var": inv_var}

    def _known(self, key: NormInference, arrays: dict[str, Any]) -> dict[str, Any]:
        return {"y": self._ended(key, self._plain(arrays["x"], key.y), arrays, key.y)}

    def _gradient(self, key: NormGradient, arrays: dict[str, Any]) -> dict[str, Any]:
        """From dz, the gradient behind the ReLU, where that is an output too."""
        dy, x = (self._plain(arrays[name], key.y) for name in ("dz" if key.relu else "dy", "x"))
        normal = (x - _wide(arrays["mean"])) * _wide(arrays["inv_var"])
        total = x.size // key.y[1]
        dscale, dbias = (
            each.sum(axis=(0, 2, 3), dtype=np.float64, keepdims=True).astype(np.float32) for each in (dy * normal, dy)
        )
        dx = _wide(arrays["scale"]) * _wide(arrays["inv_var"]) * (dy - dbias / total - normal * (dscale / total))
        return {"dx": dx, "dscale": dscale, "dbias": dbias}


def takes_outputs(key: Key) -> bool:
    """Whether the reference depends on what the graph itself gave."""
    return isinstance(key, NormGradient) and key.relu


def least(key: Key, name: str, largest: Callable[[str], float]) -> float:
    """What an error of this output is measured in at least: sums of very many terms may be nothing but their rounding,
    as the gradient of a bias before a normalisation is.

    largest  value of an input
    """
    if name == "mean":
        return largest("x")
    if isinstance(key, (BiasGradient, NormGradient)) and name in ("db", "dbias", "dscale"):
        samples, _, height, width = key.y
        return largest("dy") * math.sqrt(samples * height * width)
    return 0.0


def _wide(values: Any) -> Any:
    """(C,) → (1, C, 1, 1)"""
    return values.reshape(1, -1, 1, 1)
