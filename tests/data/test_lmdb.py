"""LMDB files read as LMDB's own library reads them, and safely when they are damaged."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import lmdb
import numpy as np
import pytest

from layerforge.core.errors import DataError
from layerforge.data.lmdb import Lmdb

GOLDEN = Path(__file__).parents[1] / "golden" / "files"


def library(path):
    """The records as LMDB's own library gives them."""
    with lmdb.open(str(path), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return list(transaction.cursor())


def write(path, records, **options):
    with lmdb.open(str(path), map_size=1 << 27, **options) as environment:
        for start in range(0, len(records), 1000):
            with environment.begin(write=True) as transaction:
                for key, value in records[start : start + 1000]:
                    transaction.put(key, value)


@pytest.mark.parametrize("path", ["db_lmdb", "db_gray_lmdb", "db_encoded_lmdb", "features/ip_lmdb"])
def test_caffes_databases_are_read_as_the_library_reads_them(path):
    assert list(Lmdb(str(GOLDEN / path)).records()) == library(GOLDEN / path)


@pytest.mark.parametrize("sizes", [[0], [1, 10, 100], [2000, 2030, 2031, 2100, 4080, 4081, 100000]])
def test_records_of_all_sizes_and_many_pages_are_read(sizes, tmp_path):
    rng = np.random.default_rng(1)
    count = 20000 if max(sizes) < 1000 else 300
    records = [(b"%08d_%s" % (i, b"x" * (i % 50)), rng.bytes(sizes[i % len(sizes)])) for i in range(count)]
    write(tmp_path, records)
    database = Lmdb(str(tmp_path))
    assert len(database) == count and list(database.records()) == records


@pytest.mark.parametrize("after", [0, 1, 777, 4998, 4999])
def test_reading_starts_behind_a_key(after, tmp_path):
    write(tmp_path, [(b"%06d" % (2 * i), b"v") for i in range(5000)])
    database = Lmdb(str(tmp_path))
    expected = [b"%06d" % (2 * i) for i in range(after + 1, 5000)]
    assert [key for key, _ in database.records(b"%06d" % (2 * after))] == expected
    assert [key for key, _ in database.records(b"%06d" % (2 * after + 1))] == expected  # a key that is not there


def test_records_that_were_deleted_and_changed_are_as_in_the_library(tmp_path):
    records = [(b"%05d" % i, b"%d" % i * (i % 700)) for i in range(3000)]
    write(tmp_path, records)
    with lmdb.open(str(tmp_path), map_size=1 << 27) as environment, environment.begin(write=True) as transaction:
        for key, _ in records[::3]:
            transaction.delete(key)
        for key, value in records[1::3]:
            transaction.put(key, value[::-1] + b"new")
    assert list(Lmdb(str(tmp_path)).records()) == library(tmp_path)


def test_several_values_for_a_key_are_refused(tmp_path):
    with lmdb.open(str(tmp_path), map_size=1 << 20, max_dbs=1) as environment:
        environment.open_db(b"inner", dupsort=True)
    with pytest.raises(DataError, match="a database inside the database"):
        list(Lmdb(str(tmp_path)).records())


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path):
    write(tmp_path, [(b"%05d" % i, bytes(5000)) for i in range(50)])
    records = Lmdb(str(tmp_path)).records()
    next(records)
    os.truncate(tmp_path / "data.mdb", 20000)
    with pytest.raises(DataError, match="the database is broken"):
        list(records)


@pytest.mark.parametrize("seed", range(150))
def test_damaged_files_give_records_or_an_error(seed, tmp_path):
    shutil.copy(GOLDEN / "db_lmdb" / "data.mdb", tmp_path)
    draw = random.Random(seed)
    data = bytearray((tmp_path / "data.mdb").read_bytes())
    for _ in range(draw.randint(1, 6)):
        page = draw.choice([0, 1, 22, draw.randrange(len(data) // 4096)]) * 4096
        data[page + draw.randrange(draw.choice([32, 200, 4096]))] = draw.choice([0, 255, draw.randrange(256)])
    (tmp_path / "data.mdb").write_bytes(data)
    try:
        assert sum(1 for _ in Lmdb(str(tmp_path)).records()) <= 2**32
    except DataError as error:
        assert str(tmp_path) in str(error)
