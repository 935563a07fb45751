"""Protobuf's wire format by hand: fields are walked in place, unknown ones cost nothing, no length goes unchecked.

A field is a tag (number · 8 + wire type) and its value: 0 a varint, 1 eight bytes, 2 a length and so many bytes,
5 four bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5


class WireError(ValueError):
    """The bytes are not in wire format; `offset` says where."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(f"{what} at byte {offset}")
        self.offset = offset


class Item(NamedTuple):
    """One field: the span of its value in the buffer, or the value of a varint.

    tag  the offset of its tag: where a run of equal fields begins
    """

    number: int
    kind: int
    value: int
    start: int
    end: int
    tag: int


def varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """The unsigned number at `at`, and the offset behind it."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (2**64 - 1), at
        shift += 7
    raise WireError("the data ends within a number" if at >= end else "a number is too long", at)


def signed(value: int) -> int:
    """A varint as int32 or int64."""
    return value - 2**64 if value >= 2**63 else value


def walk(data: memoryview, at: int = 0, end: int | None = None) -> Iterator[Item]:
    """The fields of a message in the span.

    Raises WireError where a tag is none or a value would reach past the end.
    """
    end = len(data) if end is None else end
    while at < end:
        tag = at
        key, at = varint(data, at, end)
        number, kind, value = key >> 3, key & 7, 0
        if kind == VARINT:
            value, at = varint(data, at, end)
            start = at
        elif kind == BYTES:
            length, start = varint(data, at, end)
            at = start + length
        elif kind in (EIGHT, FOUR):
            start, at = at, at + (8 if kind == EIGHT else 4)
        else:
            raise WireError(f"no field begins with {key & 255:#04x}", tag)
        if number == 0:
            raise WireError("a field has the number 0", tag)
        if at > end:
            raise WireError(f"field {number} needs {at - start} bytes, {end - start} are left", tag)
        yield Item(number, kind, value, start, at, tag)


def numbers(data: memoryview, items: list[Item], dtype: np.dtype[np.generic]) -> np.ndarray:
    """A repeated float or double field, packed or not; one packed run is a view into the data, nothing is copied.

    Raises WireError when the bytes of a run are no whole number of values.
    """
    parts = []
    for item in items:
        size = item.end - item.start
        if size % dtype.itemsize:
            raise WireError(f"{size} bytes are no whole number of {dtype.name}", item.tag)
        parts.append(np.frombuffer(data, dtype, size // dtype.itemsize, item.start))
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def integers(data: memoryview, items: list[Item], limit: int) -> tuple[int, ...]:
    """A repeated int32 or int64 field, packed or not, of at most `limit` values."""
    found: list[int] = []
    for item in items:
        at = item.start
        if item.kind == VARINT:
            found.append(signed(item.value))
        while item.kind == BYTES and at < item.end and len(found) <= limit:
            value, at = varint(data, at, item.end)
            found.append(signed(value))
    if len(found) > limit:
        raise WireError(f"more than {limit} numbers", items[0].tag)
    return tuple(found)


# --- writing


def put_varint(value: int) -> bytes:
    """A number; negative ones as ten bytes, as protobuf writes them."""
    value &= 2**64 - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def put_int(number: int, value: int) -> bytes:
    """A varint field."""
    return put_varint(number << 3 | VARINT) + put_varint(value)


def put_head(number: int, length: int) -> bytes:
    """What stands before `length` bytes."""
    return put_varint(number << 3 | BYTES) + put_varint(length)


def put_bytes(number: int, data: bytes | str) -> bytes:
    """A bytes, string or message field."""
    data = data.encode() if isinstance(data, str) else data
    return put_head(number, len(data)) + data
