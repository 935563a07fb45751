"""Databases of records by key: LMDB and LevelDB, read in order and around the end."""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Iterator
from typing import Any

from layerforge.core.errors import DataError
from layerforge.data.leveldb import LevelDb

Record = tuple[bytes, bytes]  # key, value


class Reader:
    """A cursor that starts again at the first record after the last one."""

    path: str

    def first(self) -> Record:
        """The first record; the cursor stays."""
        raise NotImplementedError

    def records(self, after: bytes | None) -> Iterator[Record]:
        """The records behind this key, or all, in the order of the keys; the cursor stays."""
        raise NotImplementedError

    def count(self) -> int | None:
        """How many records there are, or None when only reading them all would tell."""
        return None

    def read(self, count: int) -> list[Record]:
        """The next records."""
        raise NotImplementedError

    def seek(self, after: bytes | None) -> None:
        """Goes behind this key, or to the first record."""
        raise NotImplementedError

    def close(self) -> None:
        """Gives the database back."""
        raise NotImplementedError

    def name(self, key: bytes) -> str:
        """A record in words."""
        return f"{self.path}: record {key.decode('utf-8', 'backslashreplace')!r}"


class IteratorReader(Reader):
    """What databases share: they differ in how records behind a key are listed."""

    def __init__(self) -> None:
        self._records: Iterator[Record] = iter(())
        self.seek(None)

    def first(self) -> Record:
        found = next(self.records(None), None)
        if found is None:
            raise DataError(f"{self.path}: the database is empty", hint="build the database again")
        return found

    def read(self, count: int) -> list[Record]:
        got: list[Record] = []
        while len(got) < count:
            some = list(itertools.islice(self._records, count - len(got)))
            got += some
            if len(got) < count:
                if not some:
                    self.first()  # an error when there is nothing to start again with
                self._records = self.records(None)
        return got

    def seek(self, after: bytes | None) -> None:
        self._records = self.records(after)


class LmdbReader(IteratorReader):
    """An LMDB database (a folder with data.mdb, or the file itself)."""

    def __init__(self, path: str) -> None:
        self.path = path
        with _lock:
            self._environment = _open_lmdb(path)
            self._transaction = self._environment.begin(self)
        super().__init__()

    def records(self, after: bytes | None) -> Iterator[Record]:
        import lmdb

        cursor = self._transaction.cursor()
        try:
            there = cursor.first() if after is None else cursor.set_range(after)
            if there and after is not None and cursor.key() == after:
                there = cursor.next()
            if there:
                yield from cursor.iternext()
        except lmdb.Error as error:
            raise DataError(f"{self.path}: the database is broken: {error}", hint="build the database again") from None

    def count(self) -> int | None:
        return int(self._environment.environment.stat()["entries"])

    def close(self) -> None:
        self._records = iter(())
        self._transaction.abort()
        self._environment.end(self)


class _Lmdb:
    """An open environment; several readers of one path share it, since LMDB opens a path once per process."""

    def __init__(self, path: str) -> None:
        import lmdb

        try:
            self.environment = lmdb.open(path, readonly=True, lock=False, subdir=os.path.isdir(path), create=False)
        except (lmdb.Error, MemoryError) as error:
            raise DataError(f"{path} is no LMDB database that this machine can read: {error}",
                            hint="a database depends on word size and byte order; build it again here") from None
        self._readers: weakref.WeakSet[LmdbReader] = weakref.WeakSet()
        self.closed = False
        self._check_size(path)

    def _check_size(self, path: str) -> None:
        """Reading behind the end of a truncated file would kill the process, so its size is compared first."""
        file = os.path.join(path, "data.mdb") if os.path.isdir(path) else path
        expected = (self.environment.info()["last_pgno"] + 1) * self.environment.stat()["psize"]
        if os.path.getsize(file) < expected:
            self.environment.close()
            raise DataError(f"{path}: the database is cut off: {os.path.getsize(file)} bytes of {expected}",
                            hint="copy or build the database again")

    def begin(self, reader: LmdbReader) -> Any:
        """A transaction of one more reader."""
        self._readers.add(reader)
        return self.environment.begin()

    def end(self, reader: LmdbReader) -> None:
        """Lets go with the last reader, so that a script can open the database itself."""
        with _lock:
            self._readers.discard(reader)
            if not self._readers:
                self.environment.close()
                self.closed = True


_lock = threading.RLock()  # a collected reader may be closed while another one is opened
_opened: weakref.WeakValueDictionary[tuple[int, int], _Lmdb] = weakref.WeakValueDictionary()


def _open_lmdb(path: str) -> _Lmdb:
    file = os.path.join(path, "data.mdb") if os.path.isdir(path) else path
    if not os.path.isfile(file):
        raise DataError(f"{path} is no LMDB database: it has no data.mdb",
                        hint="is it a LevelDB? then write backend: LEVELDB")
    status = os.stat(file)
    found = _opened.get((status.st_dev, status.st_ino))
    if found is None or found.closed:
        found = _opened[status.st_dev, status.st_ino] = _Lmdb(path)
    return found


class LevelDbReader(IteratorReader):
    """A LevelDB database (a folder)."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._database = LevelDb(path)
        super().__init__()

    def records(self, after: bytes | None) -> Iterator[Record]:
        return self._database.records(after)

    def close(self) -> None:
        self._records = iter(())


READERS: dict[str, type[LmdbReader] | type[LevelDbReader]] = {"LMDB": LmdbReader, "LEVELDB": LevelDbReader}


def open_database(path: str, backend: str) -> Reader:
    """A reader of the database at `path`; backend is LMDB or LEVELDB.

    Raises DataError when it is missing, empty, cut off or foreign.
    """
    if not os.path.exists(path):
        raise DataError(f"the database {path!r} does not exist")
    reader = READERS[backend](path)
    reader.first()
    return reader
