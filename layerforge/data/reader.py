"""Databases of records by key: LMDB and LevelDB, read in order and around the end."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

from layerforge.core.errors import DataError
from layerforge.data.leveldb import LevelDb
from layerforge.data.lmdb import Lmdb
from layerforge.data.portions import Record


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
        self._database = Lmdb(path)
        super().__init__()

    def records(self, after: bytes | None) -> Iterator[Record]:
        return self._database.records(after)

    def count(self) -> int | None:
        return len(self._database)

    def close(self) -> None:
        self._records = iter(())
        self._database.close()


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
