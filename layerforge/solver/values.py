"""Plain values ↔ bytes: JSON, with arrays and bytes inside. Reading runs no code and believes no size."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from layerforge.core.errors import DataError

ARRAY, BYTES, ITEMS = "__array__", "__bytes__", "__items__"


def encode(value: Any) -> bytes:
    """Numbers, texts, bytes, None, arrays of numbers, and lists, tuples and dicts of these. Tuples come back as lists.

    Raises DataError for anything else.
    """
    return json.dumps(_plain(value), separators=(",", ":")).encode()


def decode(data: bytes) -> Any:
    """The value of encoded bytes.

    Raises DataError when they are none.
    """
    try:
        return _value(json.loads(data))
    except (ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise DataError(f"a saved value cannot be read: {error}", hint="is the file whole?") from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        little = value.astype(value.dtype.newbyteorder("<"), copy=False)
        return {ARRAY: [little.dtype.str, list(value.shape), base64.b64encode(little.tobytes()).decode()]}
    if isinstance(value, (bytes, bytearray)):
        return {BYTES: base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("__") for key in value):
            return {key: _plain(each) for key, each in value.items()}
        return {ITEMS: [[_plain(key), _plain(each)] for key, each in value.items()]}
    raise DataError(f"a value of type {type(value).__name__} cannot be saved",
                    hint="state() may hold numbers, texts, bytes, arrays of numbers, and lists and dicts of these")


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_value(each) for each in plain]
    if not isinstance(plain, dict):
        return plain
    if ARRAY in plain:
        return _array(*plain[ARRAY])
    if BYTES in plain:
        return base64.b64decode(plain[BYTES], validate=True)
    if ITEMS in plain:
        return {_key(key): _value(each) for key, each in plain[ITEMS]}
    return {key: _value(each) for key, each in plain.items()}


def _key(plain: Any) -> Any:
    """Tuples were saved as lists, which cannot be keys."""
    value = _value(plain)
    return tuple(value) if isinstance(value, list) else value


def _array(dtype: str, shape: list[int], raw: str) -> np.ndarray:
    kind, data = np.dtype(dtype), base64.b64decode(raw, validate=True)
    if kind.kind not in "biufc" or any(n < 0 for n in shape) or math.prod(shape) * kind.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes are no array of {dtype} and shape {shape}")
    array: np.ndarray = np.frombuffer(data, kind).reshape(shape).copy()
    return array
