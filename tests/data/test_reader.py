"""LMDB read in order, around the end, and from a saved key."""

import os

import lmdb
import pytest

from layerforge.core.errors import DataError
from layerforge.data.lmdb import MAGIC
from layerforge.data.reader import open_database


def keys(reader, count):
    return [int(key) for key, _ in reader.read(count)]


def test_records_come_in_order_and_around_the_end(make_lmdb, pictures):
    reader = open_database(make_lmdb(pictures(5)), "LMDB")
    assert keys(reader, 3) == [0, 1, 2] and keys(reader, 9) == [3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_a_key_is_found_again(make_lmdb, pictures):
    reader = open_database(make_lmdb(pictures(5)), "LMDB")
    reader.seek(b"%08d" % 2)
    assert keys(reader, 3) == [3, 4, 0]
    reader.seek(b"%08d" % 4)
    assert keys(reader, 1) == [0]
    reader.seek(None)
    assert keys(reader, 1) == [0]


def test_two_readers_share_a_database(make_lmdb, pictures):
    path = make_lmdb(pictures(3))
    first, second = open_database(path, "LMDB"), open_database(path, "LMDB")
    assert keys(first, 2) == [0, 1] and keys(second, 1) == [0] and keys(first, 1) == [2]
    first.close()
    assert keys(second, 1) == [1]


def test_a_database_can_be_opened_again(make_lmdb, pictures):
    path = make_lmdb(pictures(3))
    for _ in range(3):
        reader = open_database(path, "LMDB")
        reader.close()
        lmdb.open(path, readonly=True, lock=False).close()  # as a script may
    assert keys(open_database(path, "LMDB"), 1) == [0]


def test_reading_leaves_no_lock_file(make_lmdb, pictures):
    path = make_lmdb(pictures(3))
    os.unlink(os.path.join(path, "lock.mdb"))
    open_database(path, "LMDB")
    assert os.listdir(path) == ["data.mdb"]


def test_an_empty_database_is_an_error(make_lmdb):
    with pytest.raises(DataError, match="the database is empty"):
        open_database(make_lmdb([]), "LMDB")


def test_a_cut_off_database_is_an_error(make_lmdb, pictures):
    path = make_lmdb(pictures(50, (3, 32, 32)))
    size = os.path.getsize(os.path.join(path, "data.mdb"))
    os.truncate(os.path.join(path, "data.mdb"), size // 2)
    with pytest.raises(DataError, match=f"cut off: {size // 2} bytes of"):
        open_database(path, "LMDB")


@pytest.mark.parametrize("content", [b"", b"hello" * 2000, bytes(8192)])
def test_a_foreign_file_is_an_error(tmp_path, content):
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(DataError, match="no LMDB database that can be read"):
        open_database(str(tmp_path), "LMDB")


@pytest.mark.parametrize("page", [
    bytes(12) + MAGIC + bytes(200), bytes(12) + MAGIC[::-1] + bytes(200), bytes(16) + MAGIC[::-1] + bytes(200)])
def test_a_database_of_another_architecture_is_an_error(tmp_path, page):
    (tmp_path / "data.mdb").write_bytes(page * 20)
    with pytest.raises(DataError, match="no LMDB database of this architecture"):
        open_database(str(tmp_path), "LMDB")


def test_a_folder_without_a_database_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"it has no data\.mdb"):
        open_database(str(tmp_path), "LMDB")
