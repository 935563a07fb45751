"""LevelDB folders read without LevelDB."""

import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from layerforge.core.errors import DataError
from layerforge.data.leveldb import LOG_BLOCK, LevelDb
from layerforge.data.reader import open_database
from layerforge.data.snappy import decompress

FILES = Path(__file__).resolve().parents[1] / "golden" / "files"


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def text(data):
    return varint(len(data)) + data


def log(records):
    """A log file of whole records, cut into pieces at the borders of blocks (checksums are not read)."""
    out = bytearray()
    for record in records:
        at, first = 0, True
        while first or at < len(record):
            room = LOG_BLOCK - len(out) % LOG_BLOCK
            if room < 7:
                out += bytes(room)
                continue
            piece = record[at : at + room - 7]
            at += len(piece)
            kind = {(True, True): 1, (True, False): 2, (False, False): 3, (False, True): 4}[first, at == len(record)]
            out += bytes(4) + struct.pack("<HB", len(piece), kind) + piece
            first = False
    return bytes(out)


def batch(sequence, *changes):
    """A write: (key, value) puts, (key, None) deletes."""
    body = b"".join((b"\x00" + text(key)) if value is None else (b"\x01" + text(key) + text(value))
                    for key, value in changes)
    return struct.pack("<QI", sequence, len(changes)) + body


def folder(path, batches, comparator=b"leveldb.BytewiseComparator"):
    path.mkdir(exist_ok=True)
    (path / "CURRENT").write_text("MANIFEST-000002\n")
    (path / "MANIFEST-000002").write_bytes(log([b"\x01" + text(comparator) + b"\x02\x03\x09\x00\x03\x04\x04\x00"]))
    (path / "000003.log").write_bytes(log(batches))
    return str(path)


def test_the_newest_record_of_a_key_counts(tmp_path):
    first = batch(1, (b"b", b"1"), (b"a", b"2"), (b"c", b"3"))
    path = folder(tmp_path / "db", [first, batch(4, (b"b", b"4"), (b"c", None))])
    assert list(LevelDb(path).records()) == [(b"a", b"2"), (b"b", b"4")]


def test_records_go_over_the_borders_of_blocks(tmp_path):
    values = [os.urandom(size) for size in (LOG_BLOCK - 30, 3, 5, 3 * LOG_BLOCK, 1)]
    path = folder(tmp_path / "db", [batch(i, (b"%d" % i, value)) for i, value in enumerate(values)])
    assert [value for _, value in LevelDb(path).records()] == values


def test_an_unfinished_write_ends_the_log(tmp_path):
    path = folder(tmp_path / "db", [batch(1, (b"a", b"1")), batch(2, (b"b", bytes(500)))])
    name = os.path.join(path, "000003.log")
    os.truncate(name, os.path.getsize(name) - 10)
    assert [key for key, _ in LevelDb(path).records()] == [b"a"]


def test_tables_are_read_from_a_key_on():
    database = LevelDb(str(FILES / "db_leveldb_table"))
    keys = [key for key, _ in database.records()]
    assert len(keys) == 13 and keys == sorted(keys) and len(database.tables) == 1
    for i, key in enumerate(keys):
        assert [later for later, _ in database.records(key)] == keys[i + 1 :]


def test_reading_leaves_the_folder_alone(tmp_path):
    shutil.copytree(FILES / "db_leveldb_table", tmp_path / "db")
    before = sorted((each.name, each.read_bytes()) for each in (tmp_path / "db").iterdir())
    open_database(str(tmp_path / "db"), "LEVELDB").read(30)
    assert sorted((each.name, each.read_bytes()) for each in (tmp_path / "db").iterdir()) == before


def test_an_empty_database_is_an_error(tmp_path):
    with pytest.raises(DataError, match="the database is empty"):
        open_database(folder(tmp_path / "db", []), "LEVELDB")


def test_another_order_of_keys_is_refused(tmp_path):
    with pytest.raises(DataError, match="'idb_cmp1', which is not known"):
        LevelDb(folder(tmp_path / "db", [], b"idb_cmp1"))


def test_an_lmdb_folder_is_named_as_such(make_lmdb, pictures):
    with pytest.raises(DataError, match=r"no LevelDB database(.|\n)*backend: LMDB"):
        LevelDb(make_lmdb(pictures(1)))


@pytest.mark.parametrize("damage", ["gone", "cut", "noise"])
def test_a_broken_table_is_named(damage, tmp_path):
    shutil.copytree(FILES / "db_leveldb_table", tmp_path / "db")
    table = tmp_path / "db" / "000005.ldb"
    data = table.read_bytes()
    table.unlink()
    if damage != "gone":
        table.write_bytes(data[: len(data) // 2] if damage == "cut" else b"\x99" * (len(data) - 48) + data[-48:])
    with pytest.raises(DataError, match=r"000005\.ldb"):
        open_database(str(tmp_path / "db"), "LEVELDB")


def test_a_broken_manifest_is_an_error(tmp_path):
    path = folder(tmp_path / "db", [])
    (tmp_path / "db" / "MANIFEST-000002").write_bytes(log([b"\x7f\xff\xff"]))
    with pytest.raises(DataError, match="manifest or log is broken"):
        LevelDb(path)


@pytest.mark.parametrize("name", ["000005.ldb", "MANIFEST-000004", "000006.log", "CURRENT"])
def test_changed_bytes_are_read_or_refused(name, tmp_path):
    shutil.copytree(FILES / "db_leveldb_table", tmp_path / "db")
    data = (tmp_path / "db" / name).read_bytes() or bytes(9)
    random = np.random.default_rng(0)
    outcomes = set()
    for _ in range(60):
        changed = bytearray(data)
        for at in random.integers(0, len(data), 3):
            changed[at] = random.integers(256)
        (tmp_path / "db" / name).write_bytes(changed)
        try:
            outcomes.add(len(list(LevelDb(str(tmp_path / "db")).records())) <= 40)
        except DataError:
            outcomes.add(True)
    assert outcomes == {True}


@pytest.mark.parametrize("packed, plain", [
    (b"\x00", b""), (b"\x05\x10hello", b"hello"), (b"\x0a\x04ab\x1e\x02\x00", b"ab" * 5),
    (b"\x06\x04ab\x01\x02", b"ababab"), (b"\x46\xf0\x3f" + b"x" * 64 + b"\x17\x40\x00\x00\x00", b"x" * 70)])
def test_snappy_is_read(packed, plain):
    assert decompress(memoryview(packed)) == plain


@pytest.mark.parametrize("packed", [
    b"", b"\x05\x10hell", b"\x04\x10hello", b"\x09\x10hello", b"\x05\x01\x02", b"\xff\xff\xff\xff\x7f\x00"])
def test_broken_snappy_is_an_error(packed):
    with pytest.raises((ValueError, IndexError)):
        decompress(memoryview(packed))
