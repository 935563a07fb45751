"""Backward for free: the gradient of a layer whose forward is array code comes from automatic differentiation.

The library is autograd: pure Python over NumPy and nothing else, float32 and float64 alike, maintained and in step with
NumPy 2. (JAX is larger by two orders of magnitude, has its own arrays, and works in float64 only if the whole process
does.) It is an extra: `pip install 'layerforge[autodiff]'`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from layerforge.core.blob import Blob, View
from layerforge.core.errors import LayerError
from layerforge.core.extras import extra
from layerforge.core.storage import HOST, Representation
from layerforge.layers.base import Layer
from layerforge.layers.fillers import FillerParams


def library(name: str) -> ModuleType:
    """A module of autograd.

    Raises DeviceError when it is not installed.
    """
    return extra(name, "differentiate = True needs the package autograd",
                 "pip install 'layerforge[autodiff]', or write the layer's backward")


class Parameter(View):
    """A parameter's view, under whatever name the layer keeps it; while forward is recorded it has that value."""

    __slots__ = ("recorded",)

    def __init__(self, blob: Blob, representation: Representation) -> None:
        super().__init__(blob, representation)
        self.recorded: Any = None

    @property
    def data(self) -> Any:
        return super().data if self.recorded is None else self.recorded


class Input:
    """What forward reads in place of a view while it is recorded."""

    def __init__(self, data: Any) -> None:
        self.data, self.shape, self.dtype = data, tuple(data.shape), data.dtype
        self.ndim = len(self.shape)

    def count(self, start: int = 0, end: int | None = None) -> int:
        """As of a view."""
        return int(np.prod(self.shape[start:end]))


class Output:
    """Takes what forward assigns: `top[0].data[...] = y`."""

    def __init__(self) -> None:
        self.value: Any = None

    @property
    def data(self) -> Output:
        return self

    def __setitem__(self, index: Any, value: Any) -> None:
        if index is not Ellipsis and index != slice(None):
            raise LayerError("differentiate = True: forward must write each top whole, as top[0].data[...] = y",
                             hint="compute the parts, and put them together with self.xp.concatenate")
        self.value = value


class Differentiable(Layer):
    """Adds `differentiate = True`: reshape and backward follow from forward.

    top[i] = y_i(x, w);   dx = Σ_i (∂y_i/∂x)ᵀ dy_i,   dw likewise

    Forward then reads bottoms and parameters as `.data`, computes with `self.xp`, and assigns each top once.
    """

    differentiate: ClassVar[bool] = False

    def add_blob(self, shape: Sequence[int], filler: FillerParams | None = None, *, fixed: bool = False) -> View:
        view = super().add_blob(shape, filler, fixed=fixed)
        self.blobs[-1] = made = Parameter(view.blob, HOST if self.arrays == "host" else view.representation)
        return made

    def start(self, bottom: Sequence[View], top: Sequence[View]) -> None:
        taken = {id(view.blob.data) for view in bottom}
        self.require(not (self.differentiate and any(id(view.blob.data) in taken for view in top)),
                     "differentiate = True cannot work in place: its backward needs the bottom's values",
                     hint="give the top a name of its own")
        super().start(bottom, top)

    def reshape(self, bottom: Sequence[View], top: Sequence[View]) -> None:
        if not self.differentiate:
            raise NotImplementedError(f"{type(self).__name__} defines no reshape")
        zeros = [np.broadcast_to(np.zeros((), self.dtype), view.shape) for view in (*bottom, *self.blobs)]
        with np.errstate(all="ignore"):
            for view, y in zip(top, self._outputs(zeros, len(bottom), len(top))):
                view.reshape(np.shape(y))

    def backward(self, top: Sequence[View], propagate_down: Sequence[bool], bottom: Sequence[View]) -> None:
        if not self.differentiate:
            return super().backward(top, propagate_down, bottom)
        values = [view.data for view in (*bottom, *self.blobs)]
        wanted = [*propagate_down, *self.needs_gradient]
        chosen = [i for i, each in enumerate(wanted) if each]
        if not chosen:
            return None
        slopes = [view.diff for view in top]

        def weighted(*given: Any) -> Any:
            recorded = dict(zip(chosen, given))
            outputs = self._outputs([recorded.get(i, v) for i, v in enumerate(values)], len(bottom), len(top))
            return sum((self.xp.sum(y * dy) for y, dy in zip(outputs, slopes)), 0.0)

        for i, gradient in zip(chosen, self._gradient(weighted, [values[i] for i in chosen])):
            if i < len(bottom):
                bottom[i].diff[...] = gradient
            else:
                self.blobs[i - len(bottom)].diff[...] += gradient
        return None

    def _gradient(self, function: Callable[..., Any], values: Sequence[Any]) -> Sequence[Any]:
        autograd, own = library("autograd"), self.xp
        self.xp = library("autograd.numpy")
        try:
            gradients: Sequence[Any] = autograd.grad(function, tuple(range(len(values))))(*values)
        except (NotImplementedError, TypeError, AttributeError) as error:
            raise LayerError(f"{self.definition}: forward cannot be differentiated: {error}",
                             where=self.definition.where,
                             hint="compute with functions of self.xp, or write the layer's backward") from error
        finally:
            self.xp = own
        return gradients

    def _outputs(self, values: Sequence[Any], bottoms: int, tops: int) -> list[Any]:
        """What forward assigns to the tops for these bottoms, behind which stand the parameters."""
        outputs = [Output() for _ in range(tops)]
        for blob, value in zip(self.blobs, values[bottoms:]):
            blob.recorded = value  # type: ignore[attr-defined]
        try:
            self.forward([Input(value) for value in values[:bottoms]], outputs)  # type: ignore[arg-type]
        finally:
            for blob in self.blobs:
                blob.recorded = None  # type: ignore[attr-defined]
        missing = [i for i, each in enumerate(outputs) if each.value is None]
        if missing:
            raise LayerError(f"{self.definition}: forward assigns nothing to top[{missing[0]}]",
                             where=self.definition.where, hint=f"write top[{missing[0]}].data[...] = y")
        return [each.value for each in outputs]
