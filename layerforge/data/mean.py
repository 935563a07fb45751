"""The mean picture: a BlobProto file."""

from __future__ import annotations

import math

import numpy as np

from layerforge.core.errors import DataError
from layerforge.data.datum import read_varint


def read_mean(path: str) -> np.ndarray:
    """(C, H, W) of a mean file, as compute_image_mean writes it.

    Raises DataError when it is no such file, or cut off.
    """
    try:
        with open(path, "rb") as file:
            old, shape, data = _parse(memoryview(file.read()))
        shape = (1, 1, 1, *(shape or old))[-3:]
        if math.prod(shape) != data.size or not data.size:
            raise ValueError("sizes differ")
    except OSError as error:
        raise DataError(f"the mean file {path!r} cannot be read: {error.strerror}") from None
    except (IndexError, ValueError):
        raise DataError(f"the mean file {path!r} is broken or foreign", hint="compute_image_mean writes such files") from None
    return data.reshape(shape)


def _parse(view: memoryview) -> tuple[tuple[int, ...], tuple[int, ...], np.ndarray]:
    """Old shape (num, channels, height, width), shape, values."""
    old, shape, data, at = [0, 0, 0, 0], [], np.empty(0, np.float32), 0
    while at < len(view):
        tag, at = read_varint(view, at)
        number, kind = tag >> 3, tag & 7
        size, at = read_varint(view, at)
        if kind == 0 and 1 <= number <= 4:
            old[number - 1] = size
        elif kind == 2:
            if at + size > len(view):
                raise ValueError("cut off")
            if number in (5, 8):
                data = np.frombuffer(view[at : at + size], "<f4" if number == 5 else "<f8").astype(np.float32)
            elif number == 7:
                shape = _dims(view[at : at + size])
            at += size
        elif kind:
            raise ValueError("no BlobProto")
    return tuple(old), tuple(shape), data


def _dims(view: memoryview) -> list[int]:
    _, at = read_varint(view, 0)
    _, at = read_varint(view, at)
    dims = []
    while at < len(view):
        value, at = read_varint(view, at)
        dims.append(value)
    return dims
