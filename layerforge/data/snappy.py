"""Snappy: the compression of LevelDB's blocks, read only.

Source: the format description of google/snappy
"""

from __future__ import annotations

from layerforge.data.datum import read_varint

MAX_BYTES = 1 << 30


def decompress(data: memoryview) -> bytes:
    """The content of a Snappy block.

    Raises ValueError or IndexError when the bytes are no such block.
    """
    size, at = read_varint(data, 0)
    if size > MAX_BYTES:
        raise ValueError("too large")
    out = bytearray()
    while at < len(data):
        tag = data[at]
        kind, at = tag & 3, at + 1
        if kind == 0:
            length = tag >> 2
            if length >= 60:  # the length stands in 1 to 4 bytes behind the tag
                width = length - 59
                length, at = int.from_bytes(data[at : at + width], "little"), at + width
            out += data[at : at + length + 1]
            at += length + 1
        else:
            length, offset, at = _copy(data, tag, kind, at)
            _repeat(out, offset, length)
        if len(out) > size or at > len(data):
            raise ValueError("longer than it says")
    if len(out) != size:
        raise ValueError("shorter than it says")
    return bytes(out)


def _copy(data: memoryview, tag: int, kind: int, at: int) -> tuple[int, int, int]:
    """(length, offset, place behind) of a copy element."""
    if kind == 1:
        return (tag >> 2 & 7) + 4, tag >> 5 << 8 | data[at], at + 1
    width = 2 if kind == 2 else 4
    return (tag >> 2) + 1, int.from_bytes(data[at : at + width], "little"), at + width


def _repeat(out: bytearray, offset: int, length: int) -> None:
    """Appends `length` bytes that stand `offset` bytes before the end; they may overlap with what is appended."""
    start = len(out) - offset
    if offset == 0 or start < 0:
        raise ValueError("a copy from before the start")
    piece = out[start : start + length]
    if len(piece) < length:
        piece = (piece * (length // len(piece) + 1))[:length]
    out += piece
