"""Datum: the record of Caffe's databases, read without copying its pixels.

A message with channels 1, height 2, width 3, data 4 (bytes), label 5, float_data 6 and encoded 7. A whole batch of raw
records that differ in pixels and label alone is taken as one array.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from layerforge.core.errors import DataError

NO_FLOATS = np.empty(0, np.float32)


@dataclass(slots=True)
class Datum:
    """One record.

    data     the pixels (channels × height × width bytes), or a compressed picture when `encoded`
    floats   the values when there is no data
    data_at  where data starts in the record; label_at: (start, end) of the label's bytes
    """

    channels: int = 0
    height: int = 0
    width: int = 0
    label: int = 0
    encoded: bool = False
    data: memoryview = field(default_factory=lambda: memoryview(b""))
    floats: np.ndarray = field(default_factory=lambda: NO_FLOATS)
    data_at: int = 0
    label_at: tuple[int, int] = (0, 0)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a record that is not encoded."""
        return self.channels, self.height, self.width

    def array(self) -> np.ndarray:
        """(C, H, W), bytes or float32."""
        values = np.frombuffer(self.data, np.uint8) if len(self.data) else self.floats
        return values.reshape(self.shape)


def parse_datum(record: bytes, name: str) -> Datum:
    """Reads a record; `name` says which one, in errors.

    Raises DataError when the bytes are no Datum, or their number is not channels × height × width.
    """
    datum = Datum()
    try:
        _parse(memoryview(record), datum)
    except (IndexError, ValueError, struct.error):
        raise DataError(f"{name} is broken: its bytes are no Datum", hint="build the database again") from None
    if not datum.encoded:
        count = datum.channels * datum.height * datum.width
        held = len(datum.data) or datum.floats.size
        if min(datum.shape) < 1 or held != count:
            raise DataError(f"{name} is broken: {held} values for the shape {datum.shape}",
                            hint="build the database again")
    elif not len(datum.data):
        raise DataError(f"{name} is broken: an encoded picture without bytes", hint="build the database again")
    return datum


def _parse(view: memoryview, datum: Datum) -> None:
    at, end = 0, len(view)
    floats: list[np.ndarray] = []
    while at < end:
        tag, at = read_varint(view, at)
        number, kind, start = tag >> 3, tag & 7, at
        if kind == 0:
            value, at = read_varint(view, at)
            _set_number(datum, number, value, (start, at))
        elif kind == 2:
            size, at = read_varint(view, at)
            if at + size > end:
                raise ValueError("truncated")
            if number == 4:
                datum.data, datum.data_at = view[at : at + size], at
            elif number == 6:
                floats.append(np.frombuffer(view[at : at + size], "<f4"))
            at += size
        elif tag == (6 << 3 | 5):  # float_data, unpacked as Caffe writes it: a run of tag byte and 4 bytes
            rows = np.frombuffer(view[start - 1 : start - 1 + (end - start + 1) // 5 * 5], np.uint8).reshape(-1, 5)
            other = np.flatnonzero(rows[:, 0] != tag)
            rows = rows[: other[0]] if other.size else rows
            if not len(rows):
                raise ValueError("truncated")
            floats.append(np.frombuffer(rows[:, 1:].tobytes(), "<f4"))
            at = start - 1 + rows.size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
            if at > end:
                raise ValueError("truncated")
        else:
            raise ValueError("no such wire type")
        if not number:
            raise ValueError("no field has the number 0")
    if floats:
        datum.floats = floats[0] if len(floats) == 1 else np.concatenate(floats)


def read_varint(view: memoryview, at: int) -> tuple[int, int]:
    """The number at this place of a message, and the place behind it."""
    value = shift = 0
    while True:
        byte = view[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 10 bytes")


def _set_number(datum: Datum, number: int, value: int, place: tuple[int, int]) -> None:
    if number == 7:
        datum.encoded = bool(value)
        return
    value &= 0xFFFFFFFF
    value -= (value >> 31) << 32  # int32
    if number == 1:
        datum.channels = value
    elif number == 2:
        datum.height = value
    elif number == 3:
        datum.width = value
    elif number == 5:
        datum.label, datum.label_at = value, place


def stack_raw(records: Sequence[bytes], first: Datum) -> tuple[np.ndarray, np.ndarray] | None:
    """Pixels (N, C, H, W) and labels (N,) of raw records that differ from the first in nothing else; None when they do.

    first  the parsed records[0]
    """
    size = len(records[0])
    if first.encoded or not len(first.data) or any(len(record) != size for record in records):
        return None
    rows = np.frombuffer(b"".join(records), np.uint8).reshape(len(records), size)
    start, stop = first.data_at, first.data_at + len(first.data)
    low, high = first.label_at
    labels = rows[:, low:high]
    same = np.ones(size, bool)
    same[start:stop] = same[low:high] = False
    frame = rows[:, same]
    if (frame != frame[0]).any() or ((labels ^ labels[0]) & 0x80).any() or high - low > 4:
        return None
    values = (labels & 0x7F).astype(np.int64) @ (1 << 7 * np.arange(high - low))  # (N,)
    return rows[:, start:stop].reshape(len(records), *first.shape), values


def make_datum(pixels: np.ndarray | bytes, label: int = 0, *, encoded: bool = False) -> bytes:
    """The record of a picture: an array (C, H, W) of bytes, or a compressed picture's bytes with `encoded`."""
    if encoded:
        data, head = bytes(pixels), b""
    else:
        array = np.asarray(pixels)
        if array.dtype != np.uint8 or array.ndim != 3:
            raise TypeError(f"pixels must be bytes of three axes, not {array.dtype} of {array.ndim}")
        data = array.tobytes()
        head = b"".join(bytes((number << 3,)) + _number(n) for number, n in enumerate(array.shape, 1))
    tail = b"\x28" + _number(label & 0xFFFFFFFFFFFFFFFF) + (b"\x38\x01" if encoded else b"\x38\x00")
    return head + b"\x22" + _number(len(data)) + data + tail


def make_float_datum(values: np.ndarray) -> bytes:
    """The record of values (C, H, W), as extract_features writes it: without a label, a tag before every value."""
    head = b"".join(bytes((number << 3,)) + _number(n) for number, n in enumerate(values.shape, 1))
    rows = np.empty((values.size, 5), np.uint8)
    rows[:, 0] = 6 << 3 | 5
    rows[:, 1:] = np.ascontiguousarray(values, "<f4").reshape(-1, 1).view(np.uint8)
    return head + rows.tobytes()


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
