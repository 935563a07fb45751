"""Stands in for cuDNN: a frontend whose graphs are computed with NumPy, node by node, in float32 between.

The engine's own graphs are built through it, so that what is computed is what cuDNN would be asked for. What its
engines refuse is refused here too: see `Graph.validate`.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tape import TapeBackend, plain

from layerforge.backends.numpy import NumpyOps
from layerforge.core.window import Window
from layerforge.engines.cudnn.graphs import Key, Maker

OPS = NumpyOps()


class Type(enum.Enum):
    FLOAT = np.dtype(np.float32)
    HALF = np.dtype(np.float16)
    BFLOAT16 = np.dtype(np.uint16)
    BOOLEAN = np.dtype(np.uint8)  # bits, eight to a byte


def widened(array: np.ndarray) -> np.ndarray:
    """As float32; 16-bit words are upper halves."""
    return (array.astype(np.uint32) << 16).view(np.float32) if array.dtype == np.uint16 else array.astype(np.float32)


def narrowed(values: np.ndarray, dtype: Any) -> np.ndarray:
    """The reverse, rounded to nearest."""
    values = np.ascontiguousarray(values, np.float32)
    if dtype != np.uint16:
        return values.astype(dtype)
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16).astype(np.uint16)


class Tensor:
    """A value of a graph: given, or made from others by `compute`."""

    def __init__(self, name: str, shape: Sequence[int], kind: Type | None, compute: Any = None) -> None:
        self.name, self.shape, self.kind, self.compute = name, tuple(shape), kind, compute
        self.is_output, self.value = False, None

    def set_output(self, wanted: bool) -> Tensor:
        self.is_output = wanted
        return self

    def set_data_type(self, kind: Type) -> Tensor:
        self.kind = kind
        return self

    def set_dim(self, shape: Sequence[int]) -> Tensor:
        assert tuple(shape) == self.shape, f"{self.name} has the shape {self.shape}, the graph says {shape}"
        return self

    def set_stride(self, strides: Sequence[int]) -> Tensor:
        _, c, h, w = self.shape
        assert list(strides) == [c * h * w, 1, c * w, c], f"{self.name} does not lie channels last"
        return self

    def get(self) -> np.ndarray:
        """(N, C, H, W) float32, rounded to what the tensor can hold."""
        if self.value is None:
            made = self.compute()
            assert made.shape == self.shape, (self.name, made.shape, self.shape)
            kind = self.kind or Type.FLOAT
            self.value = made if kind is Type.BOOLEAN else widened(narrowed(made, kind.value))
        return self.value

    def take(self, array: np.ndarray) -> None:
        """From channels last."""
        n, c, h, w = self.shape
        if self.kind is Type.BOOLEAN:
            array = np.unpackbits(array, count=n * c * h * w)
        assert array.size == n * c * h * w, f"{self.name} of shape {self.shape} is given {array.size} numbers"
        assert self.kind is Type.BOOLEAN or array.dtype == self.kind.value, f"{self.name} is given {array.dtype}"
        self.value = np.ascontiguousarray(widened(array).reshape(n, h, w, c).transpose(0, 3, 1, 2))

    def give(self, array: np.ndarray) -> None:
        """To channels last."""
        turned = self.get().transpose(0, 2, 3, 1).reshape(-1)
        if self.kind is Type.BOOLEAN:
            array[...] = np.packbits(turned != 0)
        else:
            assert array.dtype == self.kind.value, f"{self.name} is to be written into {array.dtype} numbers"
            array[...] = narrowed(turned, array.dtype)


def one(x: Tensor) -> np.ndarray:
    """(1, C, 1, 1) → (C,)"""
    return x.get().reshape(-1)


class Graph:
    def __init__(self, io_data_type: Type, intermediate_data_type: Type, compute_data_type: Type, **_: Any) -> None:
        self.kind, self.tensors, self.norms = io_data_type, [], []

    def tensor(self, *, name: str, dim: Any, stride: Any, data_type: Type, is_pass_by_value: bool = False) -> Tensor:
        self.tensors.append(Tensor(name, dim, data_type, None))
        return self.tensors[-1]

    def _made(self, name: str, shape: Sequence[int], compute: Callable[[], np.ndarray]) -> Tensor:
        self.tensors.append(Tensor(name, shape, None, compute))
        return self.tensors[-1]

    def _pointwise(self, name: str, compute: Callable[..., np.ndarray], *parts: Tensor) -> Tensor:
        shape = np.broadcast_shapes(*(part.shape for part in parts))
        return self._made(name, shape, lambda: compute(*(part.get() for part in parts)).astype(np.float32))

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return self._pointwise("add", np.add, a, b)

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        return self._pointwise("mul", np.multiply, a, b)

    def bias(self, input: Tensor, bias: Tensor) -> Tensor:
        return self._pointwise("bias", np.add, input, bias)

    def relu(self, x: Tensor) -> Tensor:
        return self._pointwise("relu", lambda x: np.maximum(x, 0), x)

    def cmp_gt(self, input: Tensor, comparison: Tensor) -> Tensor:
        return self._pointwise("cmp_gt", np.greater, input, comparison)

    def reduction(self, input: Tensor, mode: Any) -> Tensor:
        shape = (1, input.shape[1], 1, 1)
        return self._made("sum", shape, lambda: input.get().sum(axis=(0, 2, 3), dtype=np.float64).reshape(shape))

    def _window(self, w: Sequence[int], how: dict[str, Any]) -> Window:
        return Window.make(w[2:], how["stride"], how["pre_padding"], how["dilation"], how["post_padding"])

    def _how(self, x: Sequence[int], w: Sequence[int], window: Window) -> dict[str, Any]:
        group = x[1] // w[1]
        return {"group": group, "scratch": np.empty(OPS.conv_scratch(x, w[0], window, group), np.float32)}

    def conv_fprop(self, image: Tensor, weight: Tensor, **how: Any) -> Tensor:
        window = self._window(weight.shape, how)
        shape = (image.shape[0], weight.shape[0], *window.out_shape(image.shape[2:]))

        def compute() -> np.ndarray:
            y = np.empty(shape, np.float32)
            OPS.conv(image.get(), weight.get(), window, out=y, **self._how(image.shape, weight.shape, window))
            return y

        return self._made("conv", shape, compute)

    def conv_dgrad(self, loss: Tensor, filter: Tensor, **how: Any) -> Tensor:
        window = self._window(filter.shape, how)
        made = self._made("dgrad", (), lambda: compute())
        made.set_dim = lambda shape: setattr(made, "shape", tuple(shape)) or made  # only the caller knows

        def compute() -> np.ndarray:
            dx = np.empty(made.shape, np.float32)
            how = self._how(made.shape, filter.shape, window)
            OPS.conv_data_gradient(loss.get(), filter.get(), window, out=dx, **how)
            return dx

        return made

    def conv_wgrad(self, image: Tensor, loss: Tensor, **how: Any) -> Tensor:
        made = self._made("wgrad", (), lambda: compute())
        made.set_dim = lambda shape: setattr(made, "shape", tuple(shape)) or made

        def compute() -> np.ndarray:
            dw, window = np.zeros(made.shape, np.float32), self._window(made.shape, how)
            how_ = self._how(image.shape, made.shape, window)
            OPS.conv_weight_gradient(image.get(), loss.get(), window, acc=dw, **how_)
            return dw

        return made

    def batchnorm(
        self, input: Tensor, scale: Tensor, bias: Tensor, in_running_mean: Tensor, in_running_var: Tensor,
        epsilon: Tensor, momentum: Tensor,
    ) -> list[Tensor]:
        self.norms.append(input.shape)
        small = (1, input.shape[1], 1, 1)

        def moments() -> tuple[np.ndarray, np.ndarray]:
            x = input.get().astype(np.float64)
            return x.mean(axis=(0, 2, 3)).reshape(small), x.var(axis=(0, 2, 3)).reshape(small)

        def inverse() -> np.ndarray:
            return 1 / np.sqrt(moments()[1] + one(epsilon))

        def running(old: Tensor, new: np.ndarray) -> np.ndarray:
            return (1 - one(momentum)) * old.get() + one(momentum) * new

        def normal() -> np.ndarray:
            return scale.get() * (input.get() - moments()[0]) * inverse() + bias.get()

        return [
            self._made("y", input.shape, normal),
            self._made("mean", small, lambda: moments()[0]),
            self._made("inv_var", small, inverse),
            self._made("new_mean", small, lambda: running(in_running_mean, moments()[0])),
            self._made("new_var", small, lambda: running(in_running_var, moments()[1])),
        ]

    def batchnorm_backward(self, grad: Tensor, input: Tensor, scale: Tensor, mean: Tensor, inv_variance: Tensor) -> Any:
        self.norms.append(input.shape)
        small = (1, input.shape[1], 1, 1)

        def normal() -> np.ndarray:
            return (input.get().astype(np.float64) - mean.get()) * inv_variance.get()

        def sums() -> tuple[np.ndarray, np.ndarray]:
            dy = grad.get().astype(np.float64)
            return (dy * normal()).sum((0, 2, 3)).reshape(small), dy.sum((0, 2, 3)).reshape(small)

        def dx() -> np.ndarray:
            total = input.get().size // input.shape[1]
            dscale, dbias = sums()
            return scale.get() * inv_variance.get() * (grad.get() - dbias / total - normal() * dscale / total)

        return [
            self._made("dx", input.shape, dx),
            self._made("dscale", small, lambda: sums()[0]),
            self._made("dbias", small, lambda: sums()[1]),
        ]

    def validate(self) -> None:
        """As cuDNN 9.28 on Hopper: its normalisations want the channels by 16 bytes."""
        at_once = 16 // self.kind.value.itemsize
        for shape in self.norms:
            if shape[1] % at_once:
                raise RuntimeError(f"no engine normalises {shape[1]} channels")

    def __getattr__(self, name: str) -> Any:
        if name in ("build_operation_graph", "create_execution_plans", "deselect_numeric_notes", "build_plan_at_index"):
            return lambda *_, **__: None
        raise AttributeError(name)


class AtRandom:
    """A member of an enumeration that nobody looks at."""

    def __getattr__(self, name: str) -> str:
        return name


CUDNN = types.SimpleNamespace(data_type=Type, pygraph=Graph, reduction_mode=AtRandom())


class NumpyRunner:
    """Runs graphs on a device that may be recording. refuses: key → why not."""

    def __init__(self, backend: TapeBackend, refuses: Any = lambda key: "") -> None:
        self.backend, self._refuses, self.ran = backend, refuses, []

    def check(self, key: Key) -> str:
        try:
            self._build(key).graph.validate()
        except RuntimeError as error:
            return f"cuDNN has no plan for {key}: {error}"
        return self._refuses(key)

    def plan_name(self, key: Key) -> str:
        return "NumPy"

    def run(self, key: Key, arrays: dict[str, Any]) -> None:
        held = {name: plain(array) for name, array in arrays.items()}
        self.ran.append(key)
        self.backend.tape.do(lambda: self._compute(key, held))

    def _build(self, key: Key) -> Maker:
        make = Maker(CUDNN, key.kind)
        key.build(make)
        return make

    @np.errstate(all="ignore")  # infinity and NaN are values
    def _compute(self, key: Key, arrays: dict[str, np.ndarray]) -> None:
        tensors = self._build(key).tensors
        assert set(tensors) == set(arrays), f"{key} is given {sorted(arrays)}, it has {sorted(tensors)}"
        outputs = [name for name, tensor in tensors.items() if tensor.is_output]
        for name, array in arrays.items():
            if name not in outputs:
                tensors[name].take(array)
        for name in outputs:
            tensors[name].get()  # all of them before any is written: an output may lie where an input does
        for name in outputs:
            tensors[name].give(arrays[name])
