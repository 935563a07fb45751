"""Weights in safetensors: a flat list of named arrays that no reader has to trust.

Written:  "<layer>.<number of the blob>", such as conv1.0 and conv1.1, in the file's metadata the name of the net.
Read:     that, and the names other programs give: "<layer>.weight" is blob 0, "<layer>.bias" blob 1; for a BatchNorm
          "<layer>.running_mean" and "<layer>.running_var" are blobs 0 and 1 of 3, then weight and bias blobs 3 and 4.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layerforge.core.errors import DataError
from layerforge.core.extras import extra
from layerforge.core.files import replacing
from layerforge.schema.weights import LayerWeights, read_bytes

ENDING = ".safetensors"
MOST_BLOBS = 1000  # of a layer
_MOST_HEADER = 100_000_000  # bytes; the format's own limit
_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1"}
_SKIPPED = "num_batches_tracked"  # PyTorch's counter, which nothing here needs


def is_safetensors(path: str | os.PathLike[str]) -> bool:
    """Whether the file begins as safetensors do: the length of a header, then its brace.

    Raises DataError when it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(9)
    except OSError as error:
        raise DataError(f"{os.fspath(path)} cannot be read: {error.strerror or error}") from None
    return len(start) == 9 and int.from_bytes(start[:8], "little") <= _MOST_HEADER and start[8:] == b"{"


def is_safetensors_name(path: str | os.PathLike[str]) -> bool:
    """Whether a file of this name is to be in safetensors."""
    return os.fspath(path).endswith(ENDING)


def read_safetensors(path: str) -> list[LayerWeights]:
    """All layers of the file, in the order of its arrays.

    Raises DataError when the file is cut off, of another kind, or names its arrays in a way that is not understood.
    """
    package = _package()
    try:
        arrays = package.deserialize(read_bytes(path))
    except package.SafetensorError as error:
        raise DataError(f"{path} is no whole {ENDING}: {error}",
                        hint="the file may be cut off; load it again") from None
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, found in arrays:
        layer, dot, blob = name.rpartition(".")
        if blob == _SKIPPED:
            continue
        if not dot or not _place(blob, {}):
            raise DataError(f"{path}: the array {name!r} is of no layer's blob",
                            hint="names are LAYER.NUMBER, LAYER.weight or LAYER.bias")
        layers.setdefault(layer, {})[blob] = _array(found, f"{path}: {name}")
    if not layers:
        raise DataError(f"{path} holds no arrays")
    return [_layer(name, blobs, path) for name, blobs in layers.items()]


def write_safetensors(path: str | os.PathLike[str], layers: Sequence[LayerWeights], name: str = "") -> None:
    """Writes the layers; blobs that are None, gradients and definitions stay out.

    Raises DataError when the file cannot be written, or two arrays would have one name.
    """
    package = _package("safetensors.numpy")
    arrays: dict[str, np.ndarray] = {}
    for layer in layers:
        for i, values in enumerate(layer.blobs):
            if values is None:
                continue
            key = f"{layer.name}.{i}"
            if key in arrays:
                raise DataError(f"{os.fspath(path)}: two layers {layer.name!r} have parameters",
                                hint="rename one of them, or write a .caffemodel")
            kind = np.float64 if values.dtype == np.float64 else np.float32
            arrays[key] = np.asarray(values, kind, order="C")
    with replacing(os.fspath(path)) as temporary:
        package.save_file(arrays, temporary, metadata={"producer": "layerforge", "net": name})


def _package(name: str = "safetensors") -> Any:
    return extra(name, "safetensors need the package of that name", "pip install 'layerforge[safetensors]'")


def _array(found: Mapping[str, Any], owner: str) -> np.ndarray:
    kind, shape = found["dtype"], found["shape"]
    if kind == "BF16":  # the upper half of a float32
        halves = np.frombuffer(found["data"], "<u2").astype("<u4")
        return (halves << 16).view("<f4").reshape(shape)
    if kind not in _KINDS:
        raise DataError(f"{owner} holds {kind}, which weights are not", hint=f"known are {', '.join(_KINDS)}, BF16")
    return np.frombuffer(found["data"], _KINDS[kind]).reshape(shape)


def _place(blob: str, others: Mapping[str, Any]) -> tuple[int] | None:
    """The number of a blob in its layer, in a tuple; None when its name says none."""
    if blob.isascii() and blob.isdigit() and int(blob[:9]) < MOST_BLOBS:
        return (int(blob),)
    after = 3 if "running_mean" in others else 0
    known = {"weight": after, "bias": after + 1, "running_mean": 0, "running_var": 1}
    return (known[blob],) if blob in known else None


def _layer(name: str, found: Mapping[str, np.ndarray], path: str) -> LayerWeights:
    """The blobs in their order; a BatchNorm of another program gets the factor 1 that Caffe keeps beside."""
    placed = {}
    for blob, values in found.items():
        (i,) = _place(blob, found) or (0,)
        if i in placed:
            raise DataError(f"{path}: layer {name!r} has blob {i} twice", hint="one by number, one by name")
        placed[i] = values
    if "running_mean" in found:
        placed.setdefault(2, np.ones(1, np.float32))
    blobs = [placed.get(i) for i in range(max(placed) + 1)]
    return LayerWeights(name, "", blobs, [False] * len(blobs))
