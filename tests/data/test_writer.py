"""LMDB databases written whole or not at all."""

import os

import pytest

from layerforge.core.errors import DataError
from layerforge.data import writer
from layerforge.data.reader import open_database


def records(count, size=10):
    return ((b"%08d" % i, bytes(size)) for i in range(count))


def test_the_map_grows_with_the_records(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "FIRST_MAP_BYTES", 1 << 16)
    assert writer.write_lmdb(str(tmp_path / "db"), records(2500, 1000)) == 2500
    assert len({key for key, _ in open_database(str(tmp_path / "db"), "LMDB").read(2500)}) == 2500
    assert os.listdir(tmp_path / "db") == ["data.mdb"]


def test_an_error_on_the_way_leaves_nothing(tmp_path):
    def broken():
        yield from records(1500)
        raise DataError("picture 1500 is broken")

    with pytest.raises(DataError, match="picture 1500"):
        writer.write_lmdb(str(tmp_path / "db"), broken())
    assert os.listdir(tmp_path) == []


def test_keys_out_of_order_are_an_error(tmp_path):
    with pytest.raises(DataError, match="not behind the one before"):
        writer.write_lmdb(str(tmp_path / "db"), [(b"2", b""), (b"1", b"")])
    assert os.listdir(tmp_path) == []
