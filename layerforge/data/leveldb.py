"""LevelDB databases, read without writing to their folder (LevelDB itself locks and compacts what it opens).

A folder holds tables of sorted records, logs of the newest ones, and a manifest that lists what counts. A record's key
is followed by a sequence number: of equal keys the highest counts, and it may say that the key was deleted.

Source: the format descriptions in google/leveldb (doc/log_format.md, doc/table_format.md, doc/impl.md)
"""

from __future__ import annotations

import heapq
import os
import re
import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

from layerforge.core.errors import DataError
from layerforge.data.datum import read_varint
from layerforge.data.snappy import decompress

LOG_BLOCK = 1 << 15
MAGIC = 0xDB4775248B80FB57
FOOTER = 48
BROKEN = (IndexError, ValueError, struct.error)


class Entry(NamedTuple):
    """A record in the order in which they are merged: by key, the newest first."""

    key: bytes
    age: int  # minus the sequence number
    deleted: bool
    value: bytes


Due = tuple[bytes, int, int, Entry | None, Iterator[Entry]]
"""What waits to be merged: key, age, number of its table, the entry (None: the first), the rest of the table."""


class Table(NamedTuple):
    """A table file and the keys it spans."""

    path: str
    smallest: bytes
    largest: bytes


class LevelDb:
    """The records of a folder, as they were when it was opened."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            with open(os.path.join(path, "CURRENT"), encoding="ascii") as file:
                manifest = os.path.join(path, os.path.basename(file.read().strip()))
            self.tables, first_log = _read_manifest(manifest, path)
            self.newest = sorted(self._read_logs(first_log))
        except OSError as error:
            raise DataError(f"{path} is no LevelDB database that can be read: {error.strerror}: {error.filename}",
                            hint="is it an LMDB database? then write backend: LMDB") from None
        except BROKEN:
            raise DataError(f"{path}: the database's manifest or log is broken",
                            hint="build the database again") from None

    def _read_logs(self, first: int) -> Iterator[Entry]:
        """Records that are in no table yet."""
        logs = (re.fullmatch(r"(\d+)\.log", name) for name in os.listdir(self.path))
        for number in sorted(int(found[1]) for found in logs if found):
            if number >= first:
                with open(os.path.join(self.path, f"{number:06d}.log"), "rb") as file:
                    for batch in _log_records(memoryview(file.read())):
                        yield from _batch_entries(batch)

    def records(self, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values behind `after`, in the order of the keys.

        Raises DataError when a table is missing or broken.
        """
        last = after
        for entry in self._merged(after):
            if last is None or entry.key > last:
                last = entry.key
                if not entry.deleted:
                    yield entry.key, entry.value

    def _merged(self, after: bytes | None) -> Iterator[Entry]:
        """All entries in order. A table is opened when its first key is due: few are open at once."""
        newest = iter(self.newest)
        heap: list[Due] = []
        for i, table in enumerate(self.tables):
            if after is None or table.largest > after:
                due = table.smallest if after is None else max(table.smallest, after)
                heap.append((due, -(1 << 62), i, None, _table_entries(table.path, after)))
        heapq.heapify(heap)
        self._push(heap, len(self.tables), newest)
        while heap:
            _, _, i, entry, entries = heapq.heappop(heap)
            if entry is not None:
                yield entry
            self._push(heap, i, entries)

    @staticmethod
    def _push(heap: list[Due], i: int, entries: Iterator[Entry]) -> None:
        entry = next(entries, None)
        if entry is not None:
            heapq.heappush(heap, (entry.key, entry.age, i, entry, entries))


def _log_records(data: memoryview) -> Iterator[bytes]:
    """The records of a log; one that its writer did not finish ends it."""
    at, parts = 0, b""
    while at + 7 <= len(data):
        left = LOG_BLOCK - at % LOG_BLOCK
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        piece = bytes(data[at + 7 : at + 7 + length])
        if len(piece) < length or kind == 0:
            return
        if length + 7 > left or kind > 4:
            raise ValueError("no such record")
        parts = piece if kind in (1, 2) else parts + piece  # whole, first; middle, last
        if kind in (1, 4):
            yield parts
        at += 7 + length


def _batch_entries(batch: bytes) -> Iterator[Entry]:
    """The puts and deletions of one write."""
    view = memoryview(batch)
    sequence, count = struct.unpack("<QI", view[:12])
    at = 12
    for i in range(count):
        deleted = view[at] == 0
        key, at = _text(view, at + 1)
        value, at = (b"", at) if deleted else _text(view, at)
        yield Entry(key, -(sequence + i), deleted, value)


def _text(view: memoryview, at: int) -> tuple[bytes, int]:
    size, at = read_varint(view, at)
    if at + size > len(view):
        raise ValueError("cut off")
    return bytes(view[at : at + size]), at + size


def _read_manifest(path: str, folder: str) -> tuple[list[Table], int]:
    """The tables that count, and the number of the first log that does."""
    tables: dict[int, Table] = {}
    first_log = previous_log = 0
    with open(path, "rb") as file:
        data = memoryview(file.read())
    for record in _log_records(data):
        view, at = memoryview(record), 0
        while at < len(view):
            tag, at = read_varint(view, at)
            if tag == 1:
                comparator, at = _text(view, at)
                if comparator != b"leveldb.BytewiseComparator":
                    order = comparator.decode("ascii", "replace")
                    raise DataError(f"{folder}: keys are in the order {order!r}, which is not known")
            elif tag in (2, 3, 4, 9):
                number, at = read_varint(view, at)
                first_log = number if tag == 2 else first_log
                previous_log = number if tag == 9 else previous_log
            elif tag == 5:
                _, at = read_varint(view, at)
                _, at = _text(view, at)
            elif tag in (6, 7):
                _, at = read_varint(view, at)  # the level
                number, at = read_varint(view, at)
                if tag == 6:
                    tables.pop(number, None)
                else:
                    _, at = read_varint(view, at)  # the file's size
                    smallest, at = _text(view, at)
                    largest, at = _text(view, at)
                    tables[number] = Table(_table_path(folder, number), smallest[:-8], largest[:-8])
            else:
                raise ValueError("no such tag")
    return list(tables.values()), min(first_log, previous_log or first_log)


def _table_path(folder: str, number: int) -> str:
    old = os.path.join(folder, f"{number:06d}.sst")
    return old if os.path.exists(old) else os.path.join(folder, f"{number:06d}.ldb")


def _table_entries(path: str, after: bytes | None) -> Iterator[Entry]:
    """The entries of a table, from the block on that may hold keys behind `after`."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - FOOTER))
            footer = memoryview(file.read(FOOTER))
            if struct.unpack("<Q", footer[40:])[0] != MAGIC:
                raise ValueError("no table")
            _, at = read_varint(footer, 0)  # the handle of the block of filters
            _, at = read_varint(footer, at)
            for last, handle in _block_entries(_block(file, size, footer[at:])):
                if after is None or last[:-8] > after:  # `last` is at or behind every key of its block
                    for key, value in _block_entries(_block(file, size, handle)):
                        number = int.from_bytes(key[-8:], "little")
                        yield Entry(key[:-8], -(number >> 8), not number & 0xFF, bytes(value))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}",
                        hint="a table is missing: copy the database again") from None
    except BROKEN as error:
        raise DataError(f"{path}: the table is broken ({error})", hint="build the database again") from None


def _block(file: IO[bytes], size: int, handle: memoryview) -> memoryview:
    """A block's content: its handle says where it stands and how long it is."""
    start, at = read_varint(handle, 0)
    length, _ = read_varint(handle, at)
    if start + length + 5 > size:
        raise ValueError("cut off")
    file.seek(start)
    data = memoryview(file.read(length + 1))
    if data[length] > 1:
        raise ValueError("its compression is not known")
    return memoryview(decompress(data[:length])) if data[length] else data[:length]


def _block_entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Keys (which share a beginning with the one before) and values of a block."""
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 * restarts - 4
    if end < 0:
        raise ValueError("more restarts than bytes")
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        rest, at = read_varint(block, at)
        length, at = read_varint(block, at)
        if shared > len(key) or at + rest + length > end:
            raise ValueError("an entry beyond its block")
        key = key[:shared] + bytes(block[at : at + rest])
        yield key, block[at + rest : at + rest + length]
        at += rest + length
