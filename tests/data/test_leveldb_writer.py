"""LevelDB databases as LevelDB writes them."""

import os
from pathlib import Path

import numpy as np
import pytest

from layerforge.core.errors import DataError
from layerforge.data import portions as portions_module
from layerforge.data.leveldb import LevelDb
from layerforge.data.leveldb_writer import crc32c, write_leveldb

GOLDEN = Path(__file__).parents[1] / "golden" / "files" / "db_leveldb"


@pytest.mark.parametrize(("data", "checksum"), [
    (b"123456789", 0xE3069283), (b"a", 0xC1D04330), (b"", 0), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)])
def test_checksums_are_those_of_the_standard(data, checksum):
    assert crc32c([data, data]) == [checksum, checksum]


def test_files_are_leveldbs_own_byte_for_byte(tmp_path):
    write_leveldb(str(tmp_path / "db"), LevelDb(str(GOLDEN)).records(None))
    for name in os.listdir(GOLDEN):
        assert (tmp_path / "db" / name).read_bytes() == (GOLDEN / name).read_bytes()


def test_records_of_all_lengths_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(portions_module, "RECORDS_AT_ONCE", 3)
    rng = np.random.default_rng(0)
    records = [(b"%08d" % i, rng.bytes(n)) for i, n in enumerate([0, 1, 32721, 32722, 32730, 70000, 5, 32768, 100000])]
    assert write_leveldb(str(tmp_path / "db"), records) == len(records)
    assert list(LevelDb(str(tmp_path / "db")).records(None)) == records


def test_an_error_on_the_way_leaves_nothing(tmp_path):
    def broken():
        yield b"0", b"x"
        raise DataError("picture 1 is broken")

    with pytest.raises(DataError, match="picture 1"):
        write_leveldb(str(tmp_path / "db"), broken())
    assert os.listdir(tmp_path) == []
