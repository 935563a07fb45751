"""Computes the engine's graphs with NumPy, on a device that may be recording."""

from __future__ import annotations

from typing import Any

import numpy as np
from tape import TapeBackend, plain

from layerforge.backends.numpy import NumpyOps
from layerforge.core.window import Window
from layerforge.engines.cudnn.graphs import BiasGradient, Convolution, DataGradient, Key, WeightGradient

OPS = NumpyOps()


def values(array: np.ndarray, shape: Any) -> np.ndarray:
    """Channels last, of any number type → (N, C, H, W) float32"""
    n, c, h, w = shape
    if array.dtype == np.uint16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return np.ascontiguousarray(array.reshape(n, h, w, c).transpose(0, 3, 1, 2), np.float32)


def store(result: np.ndarray, array: np.ndarray) -> None:
    """The reverse."""
    turned = np.ascontiguousarray(result.transpose(0, 2, 3, 1), np.float32).reshape(-1)
    if array.dtype == np.uint16:
        bits = turned.view(np.uint32)
        turned = ((bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    array[...] = turned


class NumpyRunner:
    """Stands in for cuDNN. refuses: key → why not."""

    def __init__(self, backend: TapeBackend, refuses: Any = lambda key: "") -> None:
        self.backend, self.check, self.ran = backend, refuses, []

    def run(self, key: Key, arrays: dict[str, Any]) -> None:
        held = {name: plain(array) for name, array in arrays.items()}
        self.ran.append(key)
        self.backend.tape.do(lambda: self._compute(key, held))

    def _compute(self, key: Key, arrays: dict[str, np.ndarray]) -> None:
        if isinstance(key, BiasGradient):
            arrays["db"][...] = values(arrays["dy"], key.y).sum(axis=(0, 2, 3))
            return
        g = key.geometry
        window = Window.make(g.w[2:], g.stride, g.pad, g.dilation, g.pad_end)
        group = g.x[1] // g.w[1]
        scratch = np.empty(OPS.conv_scratch(g.x, g.w[0], window, group), np.float32)
        how = {"group": group, "scratch": scratch}
        if isinstance(key, Convolution):
            y, x, w = np.empty(g.y, np.float32), values(arrays["x"], g.x), values(arrays["w"], g.w)
            OPS.conv(x, w, window, bias=arrays["bias"] if key.bias else None, out=y, **how)
            store(np.maximum(y, 0) if key.relu else y, arrays["y"])
        elif isinstance(key, DataGradient):
            dx, dy, w = np.empty(g.x, np.float32), values(arrays["dy"], g.y), values(arrays["w"], g.w)
            OPS.conv_data_gradient(dy, w, window, out=dx, **how)
            store(dx, arrays["dx"])
        else:
            assert isinstance(key, WeightGradient)
            dw, x, dy = np.zeros(g.w, np.float32), values(arrays["x"], g.x), values(arrays["dy"], g.y)
            OPS.conv_weight_gradient(x, dy, window, acc=dw, **how)
            store(dw, arrays["dw"])
