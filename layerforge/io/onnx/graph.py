"""Builder: collects the nodes and constants of an ONNX graph. Call: what a converter is given of a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.extras import extra

Shape = tuple[int, ...]


class Refused(Exception):
    """ONNX has no operators for this layer, or not for these values of its parameters."""


@dataclass(frozen=True)
class Call:
    """One layer to be converted.

    layer          a Layer, whose shapes are known
    x              the names of the bottoms' values
    bottoms, tops  their shapes
    blobs          the parameters, float32
    tensors        the bottoms and tops themselves, for layers whose tops are constant
    """

    layer: Any
    x: tuple[str, ...]
    bottoms: tuple[Shape, ...]
    tops: tuple[Shape, ...]
    blobs: tuple[np.ndarray, ...]
    tensors: tuple[tuple[Blob, ...], tuple[Blob, ...]] = ((), ())

    @property
    def params(self) -> Any:
        """The typed parameters of the layer."""
        return self.layer.params


Converter = Callable[["Builder", Call], Sequence[str]]
"""Adds nodes; returns the name of the value of each top."""

CONVERTERS: dict[str, Converter] = {}


def converts(*types: str) -> Callable[[Converter], Converter]:
    """Registers a converter for layer types."""

    def register(function: Converter) -> Converter:
        CONVERTERS.update(dict.fromkeys(types, function))
        return function

    return register


class Builder:
    """A graph under construction.

    opset    the version of ONNX's operators
    dynamic  the first axis of inputs may have any size, so no shape may name it
    scope    the name of the layer that is being converted: a prefix of names
    """

    def __init__(self, opset: int, dynamic: bool = False, taken: Sequence[str] = ()) -> None:
        self.opset, self.dynamic, self.scope = opset, dynamic, ""
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self.renamed: dict[str, str] = {}
        self._taken: dict[str, int] = dict.fromkeys(taken, 1)
        self._known: dict[tuple[Any, ...], str] = {}

    # --- names

    def fresh(self, name: str) -> str:
        """This name, with a number behind it where it is taken."""
        count = self._taken.get(name, 0)
        self._taken[name] = count + 1
        return self.fresh(f"{name}_{count}") if count else name

    # --- values

    def const(self, values: Any, kind: Any = np.float32) -> str:
        """A constant; equal ones are one."""
        array = np.asarray(values, kind, order="C")
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self.fresh(f"{self.scope}/constant")
            self.constants[self._known[key]] = array
        return self._known[key]

    def ints(self, values: Sequence[int]) -> str:
        """A constant of whole numbers: axes, sizes, a shape."""
        return self.const(list(values), np.int64)

    def weight(self, name: str, values: np.ndarray) -> str:
        """A parameter of the layer, under a name of its own; one that layers share has the name of the first."""
        array = np.asarray(values, np.float32, order="C")
        key = ("memory", array.shape, array.__array_interface__["data"][0])
        if key not in self._known:
            self._known[key] = self.fresh(f"{self.scope}.{name}")
            self.constants[self._known[key]] = array
        return self._known[key]

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """A node of one output; returns that."""
        return self.several(op, inputs, 1, **attributes)[0]

    def several(self, op: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """A node of some outputs; attributes that are None are left out."""
        name = self.fresh(f"{self.scope}/{op}")
        made = [name] + [self.fresh(f"{name}.{i}") for i in range(1, outputs)]
        given = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append((op, list(inputs), made, name, given))
        return made

    # --- what many converters need

    def scaled(self, x: str, scale: float = 1.0, shift: float = 0.0) -> str:
        """scale · x + shift"""
        x = self.node("Mul", x, self.const(scale)) if scale != 1 else x
        return self.node("Add", x, self.const(shift)) if shift != 0 else x

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """x in another shape. With a dynamic batch the first size follows from the others."""
        sizes = [-1, *shape[1:]] if self.dynamic and len(shape) and 0 not in shape else list(shape)
        return self.node("Reshape", x, self.ints(sizes), allowzero=1 if 0 in sizes and self.opset >= 14 else None)

    def unsqueeze(self, x: str, axes: Sequence[int]) -> str:
        """x with new axes of size 1."""
        return self.node("Unsqueeze", x, self.ints(axes)) if axes else x

    def reduce(self, op: str, x: str, axes: Sequence[int], keepdims: bool = True) -> str:
        """A reduction; before opset 18 only ReduceSum took its axes as an input."""
        if op == "ReduceSum" or self.opset >= 18:
            return self.node(op, x, self.ints(axes), keepdims=int(keepdims))
        return self.node(op, x, axes=list(axes), keepdims=int(keepdims))

    def slice(self, x: str, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int],
              steps: Sequence[int] | None = None) -> str:
        """A piece of x."""
        parts = [self.ints(each) for each in (starts, ends, axes)]
        return self.node("Slice", x, *parts, *([self.ints(steps)] if steps is not None else []))

    def pad(
        self, x: str, before: Sequence[int], behind: Sequence[int], value: float = 0.0, mode: str = "constant"
    ) -> str:
        """x with values around; one number per axis on each side."""
        if not any(before) and not any(behind):
            return x
        fill = [self.const(value)] if mode == "constant" else []
        return self.node("Pad", x, self.ints([*before, *behind]), *fill, mode=mode)

    def whole(self, x: str) -> str:
        """Indices: x cut to whole numbers."""
        return self.node("Cast", x, to=package().TensorProto.INT64)

    def real(self, x: str) -> str:
        """Whole or truth values as float32."""
        return self.node("Cast", x, to=package().TensorProto.FLOAT)

    def child(self) -> Builder:
        """A builder for the body of a loop. Its constants are this graph's."""
        made = Builder(self.opset, self.dynamic)
        made.scope, made._taken, made._known, made.constants = self.scope, self._taken, self._known, self.constants
        return made

    def protos(self) -> list[Any]:
        """The nodes as messages, with their final names."""
        helper = package("onnx.helper")
        return [
            helper.make_node(op, [self.renamed.get(n, n) for n in inputs], [self.renamed.get(n, n) for n in outputs],
                             name, **attributes)
            for op, inputs, outputs, name, attributes in self.nodes
        ]


def package(name: str = "onnx") -> ModuleType:
    """ONNX' package, imported when it is needed.

    Raises DeviceError when it is not installed.
    """
    return extra(name, "ONNX needs the package onnx", "pip install 'layerforge[onnx]'")
