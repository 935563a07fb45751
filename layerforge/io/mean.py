"""Mean pictures: mean.binaryproto, a BlobProto in Caffe's four old numbers."""

from __future__ import annotations

import os

import numpy as np

from layerforge.core.errors import DataError
from layerforge.io.weights import write_chunks
from layerforge.schema import wire
from layerforge.schema.blob_file import read_blob


def read_mean(path: str | os.PathLike[str]) -> np.ndarray:
    """The mean picture (C, H, W).

    Raises DataError when the file is no such picture.
    """
    values = read_blob(os.fspath(path))
    shape = values.shape[values.ndim - 3 :] if values.ndim > 3 else values.shape
    if len(shape) != 3 or values.size != int(np.prod(shape)):
        raise DataError(f"{os.fspath(path)} has the shape {values.shape}, a mean picture has (channels, height, width)")
    return values.reshape(shape)


def write_mean(path: str | os.PathLike[str], mean: np.ndarray) -> None:
    """Writes a mean picture (C, H, W) as Caffe's compute_image_mean does.

    Raises DataError when the file cannot be written.
    """
    channels, height, width = mean.shape
    head = b"".join(wire.put_int(i, n) for i, n in ((1, 1), (2, channels), (3, height), (4, width)))
    data = np.ascontiguousarray(mean, "<f4").tobytes()
    write_chunks(path, iter((head, wire.put_bytes(5, data))))
