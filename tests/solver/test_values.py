"""Plain values as bytes and back."""

import math

import numpy as np
import pytest

from layerforge.core.errors import DataError
from layerforge.solver.values import decode, encode


@pytest.mark.parametrize("value", [
    None, True, 3, 2**63 + 1, 0.1, -0.0, math.inf, "text", b"\x00bytes", [1, [2, "x"]], {"a": {"b": 1.5}},
    {1: "a number", "__array__": "a name of ours", (2, 3): "a tuple"},
], ids=repr)
def test_plain_values_come_back(value):
    assert decode(encode(value)) == value


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "i8", "u1", "?"])
def test_arrays_come_back_with_type_and_shape(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    back = decode(encode({"x": array}))["x"]
    assert back.shape == (2, 3) and back.dtype.kind == array.dtype.kind and back.flags.writeable
    np.testing.assert_array_equal(back, array)


def test_numpy_numbers_come_back_as_numbers():
    assert decode(encode([np.float32(0.5), np.int64(7)])) == [0.5, 7]


@pytest.mark.parametrize("value", [object(), np.array([object()]), {1, 2}], ids=["object", "array of objects", "set"])
def test_other_values_are_refused(value):
    with pytest.raises(DataError, match="cannot be saved"):
        encode(value)


@pytest.mark.parametrize("data", [
    b"", b"{", b"\xff", b'{"__array__": ["O", [1], "AAAAAAAAAAA="]}',
    b'{"__array__": ["f4", [99999999999], "AAAAAA=="]}',
    b'{"__array__": ["f4", [-1, -1], "AAAAAA=="]}', b'{"__array__": 3}', b'{"__bytes__": "?"}', b"[" * 100_000,
], ids=lambda data: repr(data[:30]))
def test_damaged_bytes_are_one_clear_error(data):
    with pytest.raises(DataError, match="cannot be read"):
        decode(data)
