"""Writing a LevelDB database that LevelDB itself opens: all records in one log, which it sorts into tables later.

A log is cut into blocks of 32 KiB; a piece in it is: checksum (4 bytes), length (2), kind (1), data. The data of all
pieces of one write is a batch: sequence number (8 bytes), count (4), then for each record 1, key and value.

Source: the format descriptions in google/leveldb (doc/log_format.md, doc/impl.md)
"""

from __future__ import annotations

import contextlib
import functools
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

import numpy as np

from layerforge.core.errors import DataError
from layerforge.core.files import new_folder
from layerforge.data.leveldb import LOG_BLOCK
from layerforge.data.portions import Put, Record, put_all
from layerforge.schema.wire import put_varint

HEAD = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
COMPARATOR = b"leveldb.BytewiseComparator"


def write_leveldb(path: str, records: Iterable[Record]) -> int:
    """Writes records (key, value) into a new folder; returns how many.

    Raises DataError when the folder exists or cannot be written; nothing is left then.
    """
    with leveldb_writer(path) as put:
        return put_all(put, records)


@contextlib.contextmanager
def leveldb_writer(path: str) -> Iterator[Put]:
    """Gives a function that adds records to a new database, which is there when the block ends well.

    Raises DataError when the folder exists or cannot be written; nothing is left then.
    """
    count = 0

    def put(records: Sequence[Record]) -> None:
        nonlocal count
        entries = (b"\x01" + _sized(key) + _sized(value) for key, value in records)
        log.append(struct.pack("<QI", count + 1, len(records)) + b"".join(entries))
        count += len(records)

    with new_folder(path) as folder:
        try:
            with open(os.path.join(folder, "000003.log"), "wb") as file:
                log = Log(file)
                yield put
            with open(os.path.join(folder, "MANIFEST-000002"), "wb") as file:
                manifest = Log(file)
                manifest.append(b"\x01" + _sized(COMPARATOR))
                manifest.append(b"\x02\x03\x09\x00\x03\x04\x04\x00")  # log 3, none before, next file 4, last number 0
            with open(os.path.join(folder, "CURRENT"), "wb") as file:
                file.write(b"MANIFEST-000002\n")
        except OSError as error:
            raise DataError(f"{path!r} cannot be written: {error.strerror or error}") from None


def _sized(data: bytes) -> bytes:
    return put_varint(len(data)) + data


class Log:
    """Cuts what is appended into pieces that do not cross the borders of blocks."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self._room = LOG_BLOCK  # what is left of the block

    def append(self, data: bytes) -> None:
        """Writes one entry."""
        pieces, pads, view, at = [], [], memoryview(data), 0
        while at < len(data) or not pieces:
            pads.append(b"")
            if self._room < HEAD.size:
                pads[-1], self._room = bytes(self._room), LOG_BLOCK
            size = min(len(data) - at, self._room - HEAD.size)
            ends = at + size == len(data)
            kind = (FULL if ends else FIRST) if not pieces else (LAST if ends else MIDDLE)
            pieces.append(bytes((kind,)) + view[at : at + size])
            at += size
            self._room -= HEAD.size + size
        for pad, piece, crc in zip(pads, pieces, crc32c(pieces)):
            masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF  # so that checksums of checksums differ
            self.file.write(pad + HEAD.pack(masked, len(piece) - 1, piece[0]) + piece[1:])


# --- CRC-32C of many pieces at once. The sum is linear: zeros before the data change nothing, so pieces of any length
# fill rows of one width from the right; a row is cut into lanes that are summed side by side and joined at the end.

LANE, LANES, ROWS = 1024, LOG_BLOCK // 1024, 64


def crc32c(pieces: list[bytes]) -> list[int]:
    """The checksum (Castagnoli) of each piece of at most LOG_BLOCK bytes."""
    sums = []
    for i in range(0, len(pieces), ROWS):
        sums += _few(pieces[i : i + ROWS])
    return sums


def _few(pieces: list[bytes]) -> list[int]:
    table, rows = _table(), np.zeros((len(pieces), LOG_BLOCK), np.uint8)
    for row, piece in zip(rows, pieces):
        row[LOG_BLOCK - len(piece) :] = np.frombuffer(piece, np.uint8)
    # The sum starts with ones: these flip the first four bytes. Of shorter pieces some ones come in from behind.
    start = np.full(len(pieces), 0xFFFFFFFF, np.uint32)
    for i, piece in enumerate(pieces):
        head = min(4, len(piece))
        rows[i, LOG_BLOCK - len(piece) :][:head] ^= 0xFF
        start[i] = 0 if head == 4 else 0xFFFFFFFF >> 8 * head
    lanes = rows.reshape(len(pieces), LANES, LANE).transpose(2, 0, 1).astype(np.uint32)  # (LANE, pieces, LANES)
    state = np.zeros(lanes.shape[1:], np.uint32)
    for column in lanes:
        state = table[(state ^ column) & 0xFF] ^ state >> 8
    whole = np.zeros(len(pieces), np.uint32)
    for lane in range(LANES):
        whole = _skip_lane(whole) ^ state[:, lane]
    return (whole ^ start ^ 0xFFFFFFFF).tolist()


@functools.cache
def _table() -> np.ndarray:
    """(256,) what a byte adds."""
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = values >> 1 ^ np.where(values & 1, np.uint32(0x82F63B78), np.uint32(0))
    return values


@functools.cache
def _lane_tables() -> np.ndarray:
    """(4, 256) what each byte of a sum becomes after LANE zeros."""
    table = _table()
    state = np.arange(256, dtype=np.uint32) << (8 * np.arange(4, dtype=np.uint32))[:, None]
    for _ in range(LANE):
        state = table[state & 0xFF] ^ state >> 8
    return state


def _skip_lane(sums: np.ndarray) -> np.ndarray:
    tables = _lane_tables()
    skipped: np.ndarray = np.bitwise_xor.reduce([tables[k][sums >> 8 * k & 0xFF] for k in range(4)])
    return skipped
