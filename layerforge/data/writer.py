"""Writing a database that is there whole or not at all: LMDB here, LevelDB beside."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from layerforge.core.errors import DataError
from layerforge.core.files import new_folder
from layerforge.data.leveldb_writer import leveldb_writer, write_leveldb
from layerforge.data.portions import Put, Record, put_all

FIRST_MAP_BYTES = 1 << 26


def write_lmdb(path: str, records: Iterable[Record]) -> int:
    """Writes records (key, value), in rising order of their keys, into a new folder; returns how many.

    Raises DataError when the folder exists, cannot be written or the disk is full; nothing is left then.
    """
    with lmdb_writer(path) as put:
        return put_all(put, records)


@contextlib.contextmanager
def lmdb_writer(path: str) -> Iterator[Put]:
    """Gives a function that adds records to a new database, which is there when the block ends well.

    Raises DataError when the folder exists, cannot be written or the disk is full; nothing is left then.
    """
    import lmdb

    with new_folder(path) as folder:
        environment = lmdb.open(folder, map_size=FIRST_MAP_BYTES, sync=False)
        try:
            yield functools.partial(_put, environment)
            environment.sync(True)
        except (lmdb.Error, OSError) as error:
            raise DataError(f"{path!r} cannot be written: {error}") from None
        finally:
            environment.close()
        with contextlib.suppress(FileNotFoundError):  # readers make their own
            os.unlink(os.path.join(folder, "lock.mdb"))


def _put(environment: Any, chunk: Sequence[Record]) -> None:
    """One commit; the map grows as it must."""
    import lmdb

    while True:
        try:
            with environment.begin(write=True) as transaction:
                for key, value in chunk:
                    if not transaction.put(key, value, append=True):
                        raise DataError(f"the record {key!r} is not behind the one before it",
                                        hint="records go in the order of their keys")
            return
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()["map_size"])


WRITERS: dict[str, Callable[[str, Iterable[Record]], int]] = {"LMDB": write_lmdb, "LEVELDB": write_leveldb}
"""What writes all records of an iterable."""

OPEN_WRITERS: dict[str, Callable[[str], contextlib.AbstractContextManager[Put]]] = {
    "LMDB": lmdb_writer, "LEVELDB": leveldb_writer}
"""What is given records bit by bit."""
