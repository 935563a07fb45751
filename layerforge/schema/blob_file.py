"""One array in a file: .binaryproto, a serialized BlobProto."""

from __future__ import annotations

import math

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from layerforge.core.errors import DataError
from layerforge.schema.messages import message_class


def read_blob(path: str) -> np.ndarray:
    """The array of a .binaryproto file, float32 or float64; old files give four axes.

    Raises DataError when the file cannot be read or holds no whole array.
    """
    try:
        with open(path, "rb") as file:
            blob = message_class("BlobProto").FromString(file.read())
    except OSError as error:
        raise DataError(f"{path!r} cannot be read: {error.strerror}") from error
    except DecodeError:
        raise DataError(f"{path!r} holds no BlobProto", hint="a .binaryproto file of one array is needed") from None
    values = np.array(blob.double_data) if blob.double_data else np.array(blob.data, np.float32)
    shape = tuple(blob.shape.dim)
    if not blob.HasField("shape"):
        shape = (blob.num, blob.channels, blob.height, blob.width)
    if any(n < 0 for n in shape) or math.prod(shape) != values.size:
        raise DataError(f"{path!r} has {values.size} values for the shape {shape}", hint="is the file whole?")
    return values.reshape(shape)
