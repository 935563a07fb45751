"""LMDB databases, read page by page with every bound checked.

LMDB's own library trusts its files: a damaged one kills the process that maps it. A file is an array of pages. Pages 0
and 1 hold the two newest states (meta); from a state's root, branch pages lead to leaf pages of sorted records, whose
larger values lie in pages of their own. Nothing is locked, and nothing is written.

Source: the structures in LMDB's mdb.c
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from typing import NamedTuple

from layerforge.core.errors import DataError

HEAD = 16  # of a page: its number (8), padding (2), flags (2), two bounds of its free space (2, 2)
BRANCH, LEAF = 1, 2  # flags of pages
BIG = 1  # flag of a record whose value lies in pages of its own
DUPLICATES = 4  # flag of a database
EMPTY = 2**64 - 1  # the root of a database without records
MAGIC, VERSION = b"\xde\xc0\xef\xbe", 1
META = struct.Struct("<4sIQQ48s48sQQ")  # magic, version, address, size, two databases, last page, transaction
DATABASE = struct.Struct("<IHHQQQQQ")  # page size, flags, depth, branch, leaf and big pages, records, root
NODE = struct.Struct("<HHHH")  # value's size or page (low, high), flags or more of the page, size of the key
NUMBER = struct.Struct("<Q")


class State(NamedTuple):
    """What a meta page says."""

    transaction: int
    page_size: int
    last_page: int
    flags: int
    depth: int
    records: int
    root: int


class Lmdb:
    """The records of a database, as they were when it was opened. May be read by several threads."""

    def __init__(self, path: str) -> None:
        """path: the folder, or the file itself.

        Raises DataError when it is missing, cut off, or of another kind or architecture.
        """
        self.path = path
        file = os.path.join(path, "data.mdb") if os.path.isdir(path) else path
        if not os.path.isfile(file):
            raise DataError(f"{path} is no LMDB database: it has no data.mdb",
                            hint="is it a LevelDB? then write backend: LEVELDB")
        self._lock = threading.Lock()
        try:
            self._file = open(file, "rb", buffering=0)  # noqa: SIM115  closed by close() or with this object
            self._size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from None
        self.state = self._newest()
        needed = (self.state.last_page + 1) * self.state.page_size
        if self._size < needed:
            raise DataError(f"{path}: the database is cut off: {self._size} bytes of {needed}",
                            hint="copy or build the database again")
        if self.state.flags & DUPLICATES:
            raise DataError(f"{path}: the database has several values for a key, which Caffe's never have")

    def __len__(self) -> int:
        return self.state.records

    def close(self) -> None:
        """Gives the file back."""
        self._file.close()

    def records(self, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) in the order of the keys: all, or those behind a key.

        Raises DataError where the database is broken.
        """
        if self.state.root == EMPTY:
            return
        left = self.state.records  # damaged pages may lead in circles
        for page in self._leaves(self.state.root, 1, after, [self.state.last_page + 1]):
            for key, value in self._leaf(page, after):
                left -= 1
                if left < 0:
                    raise self._broken(f"it has more than the {self.state.records} records it says")
                yield key, value

    def _newest(self) -> State:
        """The state of the later transaction."""
        first = self._meta(0)
        second = self._meta(first.page_size)
        return max(first, second)

    def _meta(self, offset: int) -> State:
        data = self._read(offset + HEAD, META.size)
        if len(data) < META.size or data[:4] != MAGIC:
            marks = data[:4], self._read(offset + 12, 4)  # behind a head of 64 and of 32 bits
            kind = "of this architecture" if {MAGIC, MAGIC[::-1]} & set(marks) else "that can be read"
            raise DataError(f"{self.path} is no LMDB database {kind}",
                            hint="a database depends on word size and byte order; build it again here")
        _, version, _, _, free, main, last_page, transaction = META.unpack(data)
        page_size = DATABASE.unpack(free)[0]
        _, flags, depth, _, _, _, records, root = DATABASE.unpack(main)
        if version != VERSION or page_size & (page_size - 1) or not 256 <= page_size <= 1 << 16:
            raise self._broken(f"version {version}, pages of {page_size} bytes")
        return State(transaction, page_size, last_page, flags, depth, records, root)

    def _leaves(self, number: int, depth: int, after: bytes | None, left: list[int]) -> Iterator[bytes]:
        """The leaf pages below a page, from that on which may hold keys behind `after`; left: pages still to visit."""
        left[0] -= 1
        if left[0] < 0 or depth > self.state.depth:
            raise self._broken("its pages lead in circles")
        page = self._page(number)
        flags = page[10] | page[11] << 8
        if flags & LEAF:
            yield page
            return
        if not flags & BRANCH:
            raise self._broken(f"page {number} is neither branch nor leaf")
        children = [(page[at + 8 : at + 8 + size], low | high << 16 | top << 32)
                    for at, (low, high, top, size) in self._nodes(page)]
        if not children:
            raise self._broken(f"page {number} is empty")
        start = 0
        if after is not None:  # the key of a child is at or before all of its keys; the first one's is not stored
            start = max((i for i, (key, _) in enumerate(children) if i == 0 or key <= after), default=0)
        for i, (_, child) in enumerate(children[start:]):
            yield from self._leaves(child, depth + 1, after if i == 0 else None, left)

    def _leaf(self, page: bytes, after: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        page_size = self.state.page_size
        for at, (low, high, flags, key_size) in self._nodes(page):
            start = at + NODE.size + key_size
            key, size = page[at + NODE.size : start], low | high << 16
            if after is not None and key <= after:
                continue
            if flags & ~BIG:
                raise self._broken(f"the record {key!r} is a database inside the database")
            if not flags:
                if start + size > page_size:
                    raise self._broken(f"the record {key!r} reaches beyond its page")
                yield key, page[start : start + size]
                continue
            if start + NUMBER.size > page_size:
                raise self._broken(f"the record {key!r} reaches beyond its page")
            offset = NUMBER.unpack_from(page, start)[0] * page_size + HEAD
            if offset + size > self._size:
                raise self._broken(f"the record {key!r} of {size} bytes reaches beyond the file")
            value = self._read(offset, size)
            if len(value) < size:
                raise self._broken(f"the record {key!r} is cut off")
            yield key, value

    def _nodes(self, page: bytes) -> Iterator[tuple[int, tuple[int, int, int, int]]]:
        """(offset, header) of every node of a branch or leaf page."""
        lower = page[12] | page[13] << 8
        if not HEAD <= lower <= len(page) or lower & 1:
            raise self._broken("a page says that it ends before it begins")
        for at in struct.unpack_from(f"<{(lower - HEAD) // 2}H", page, HEAD):
            if at + NODE.size > len(page):
                raise self._broken("a page points beyond its end")
            node = NODE.unpack_from(page, at)
            if at + NODE.size + node[3] > len(page):
                raise self._broken("a key reaches beyond its page")
            yield at, node

    def _page(self, number: int) -> bytes:
        size = self.state.page_size
        page = self._read(number * size, size) if number <= self.state.last_page else b""
        if len(page) < size or NUMBER.unpack_from(page)[0] != number:
            raise self._broken(f"page {number} is not there")
        return page

    def _read(self, offset: int, size: int) -> bytes:
        """Bytes of the file; fewer at its end. Unlike a map of the file, this cannot crash when the file shrinks."""
        try:
            if hasattr(os, "pread"):
                return os.pread(self._file.fileno(), size, offset)
            with self._lock:
                self._file.seek(offset)
                return self._file.read(size)
        except (OSError, OverflowError) as error:
            raise self._broken(str(error)) from None

    def _broken(self, why: str) -> DataError:
        return DataError(f"{self.path}: the database is broken: {why}", hint="copy or build the database again")
