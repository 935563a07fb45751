"""What is in an ONNX file, for those who look at one. It is not run."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from layerforge.core.errors import DataError
from layerforge.io.onnx.graph import package
from layerforge.schema.weights import read_bytes

Named = tuple[str, tuple[int | str, ...]]


@dataclass(frozen=True)
class Contents:
    """opset      the versions of the operators, in words
    inputs, outputs   names with sizes; a name or ? where a size is free
    numbers, arrays   of the weights
    operators  how many nodes each has
    """

    opset: str
    producer: str
    inputs: tuple[Named, ...]
    outputs: tuple[Named, ...]
    numbers: int
    arrays: int
    operators: Counter[str]


def read_onnx(path: str | os.PathLike[str]) -> Contents:
    """The contents of a file.

    Raises DataError when it is no whole ONNX model, DeviceError without the package onnx.
    """
    model = package().ModelProto()
    try:
        model.ParseFromString(read_bytes(path))
    except package("google.protobuf.message").DecodeError as error:
        raise DataError(f"{os.fspath(path)} is no whole ONNX model: {error}") from None
    graph = model.graph
    weights = [math.prod(tensor.dims) for tensor in graph.initializer]
    return Contents(
        ", ".join(f"{each.domain} {each.version}".strip() for each in model.opset_import), model.producer_name,
        _named(graph.input), _named(graph.output), sum(weights), len(weights),
        Counter(node.op_type for node in graph.node))


def _named(values: Sequence[Any]) -> tuple[Named, ...]:
    def size(dim: Any) -> int | str:
        return dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?"

    return tuple((value.name, tuple(map(size, value.type.tensor_type.shape.dim))) for value in values)
