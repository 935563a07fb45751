"""One array in a file: .binaryproto, a serialized BlobProto."""

from __future__ import annotations

import os

import numpy as np

from layerforge.core.errors import DataError
from layerforge.schema.weights import parse_blob, read_bytes
from layerforge.schema.wire import WireError


def read_blob(path: str | os.PathLike[str]) -> np.ndarray:
    """The array of a .binaryproto file, float32 or float64; old files give four axes.

    Raises DataError when the file cannot be read or holds no whole array.
    """
    data = read_bytes(path)
    try:
        values = parse_blob(memoryview(data), 0, len(data), f"{os.fspath(path)}: the array").data
    except WireError as error:
        raise DataError(f"{os.fspath(path)} holds no whole BlobProto: {error}",
                        hint="a .binaryproto file of one array is needed") from None
    if not values.size:
        raise DataError(f"{os.fspath(path)} holds no BlobProto", hint="a .binaryproto file of one array is needed")
    return values
