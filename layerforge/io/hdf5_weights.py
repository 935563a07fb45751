"""Weights in HDF5: data/<layer>/<number of the blob>, and diff/ in the same way. Source: Caffe's Net::ToHDF5"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.core.errors import DataError
from layerforge.data.hdf5_writer import writing
from layerforge.io.hdf5 import array, members, reading
from layerforge.schema.weights import LayerWeights

MAX_SLASHES = 16  # in a layer's name

def read_hdf5_weights(path: str) -> list[LayerWeights]:
    """All layers of the file. A layer's name with slashes is a group within groups.

    Raises DataError when the file is cut off or of another kind.
    """
    with reading(path, ".caffemodel.h5") as file:
        top = members(file)
        if not hasattr(top.get("data"), "keys"):
            raise DataError(f"{path} has no group 'data': a .caffemodel.h5 is expected",
                            hint="solver states and data files are HDF5 too")
        layers: dict[str, LayerWeights] = {}
        _collect(top["data"], "", layers, path)
        diffs: dict[str, LayerWeights] = {}
        if hasattr(top.get("diff"), "keys"):
            _collect(top["diff"], "", diffs, path)
        for name, layer in layers.items():
            found = [each for each in diffs[name].blobs if each is not None] if name in diffs else []
            layer.diffs = found if len(found) == len(layer.blobs) else []
        return list(layers.values())


def _collect(group: Any, name: str, layers: dict[str, LayerWeights], path: str) -> None:
    """The layers below a group."""
    if name.count("/") > MAX_SLASHES:
        raise DataError(f"{path} has groups within groups without end", hint="the file is damaged")
    found = members(group)
    arrays = {key: value for key, value in found.items() if hasattr(value, "dtype")}
    if name and (arrays or not found):
        numbers = {int(key): value for key, value in arrays.items() if key.isdigit() and key.isascii() and len(key) < 4}
        blobs: list[np.ndarray | None] = [None] * (max(numbers, default=-1) + 1)
        for i, dataset in numbers.items():
            blobs[i] = array(dataset, f"{path}: layer {name!r}: blob {i}")
        layers[name] = LayerWeights(name, "", blobs, [False] * len(blobs))
    for key, value in found.items():
        if key not in arrays:
            _collect(value, f"{name}/{key}" if name else key, layers, path)


def write_hdf5_weights(path: str | os.PathLike[str], layers: Sequence[LayerWeights]) -> None:
    """Writes the layers; blobs that are None stay out.

    Raises DataError when the file cannot be written.
    """
    with writing(path) as file:
        file.create_group("data")
        for layer in layers:
            _write_blobs(file.require_group(f"data/{layer.name}"), layer.blobs)
        if any(layer.diffs for layer in layers):
            for layer in layers:
                _write_blobs(file.require_group(f"diff/{layer.name}"), layer.diffs)


def _write_blobs(group: Any, blobs: Sequence[np.ndarray | None]) -> None:
    for i, values in enumerate(blobs):
        if values is not None:
            kind = "<f8" if values.dtype == np.float64 else "<f4"
            group.create_dataset(str(i), data=np.ascontiguousarray(values, kind).reshape(values.shape))
