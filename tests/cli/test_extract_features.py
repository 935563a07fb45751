"""extract_features keeps what Caffe's tool keeps."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from layerforge.cli.main import main
from layerforge.data.datum import parse_datum
from layerforge.data.reader import open_database

FILES = Path(__file__).parents[1] / "golden" / "files"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder with the net's data."""
    shutil.copytree(FILES / "db_lmdb", tmp_path / "db_lmdb")
    shutil.copy(FILES / "mean.binaryproto", tmp_path)
    monkeypatch.chdir(tmp_path)


def extract(blobs, outputs, kind, batches="4", *more):
    features = FILES / "features"
    return main(["extract_features", f"{features}/net.caffemodel", f"{features}/net.prototxt", blobs, outputs, batches,
                 kind, *more])


def records(path, backend="LMDB"):
    """Keys, and values of all records."""
    found = list(open_database(str(path), backend).records(None))
    return [key for key, _ in found], np.stack([parse_datum(value, "record").array() for _, value in found])


def test_databases_are_those_of_caffe(capsys):
    assert extract("ip,pool", "ip_lmdb,pool_lmdb", "lmdb") == 0
    for name in ("ip_lmdb", "pool_lmdb"):
        (keys, made), (recorded_keys, recorded) = records(name), records(FILES / "features" / name)
        assert keys == recorded_keys
        np.testing.assert_allclose(made, recorded, rtol=1e-4, atol=1e-5)
    assert "ip_lmdb: 20 rows of ip" in capsys.readouterr().out


def test_records_have_caffes_bytes_but_for_rounding():
    assert extract("pool", "pool_lmdb", "lmdb", "1") == 0
    ours = next(open_database("pool_lmdb", "LMDB").records(None))[1]
    theirs = next(open_database(str(FILES / "features" / "pool_lmdb"), "LMDB").records(None))[1]
    assert len(ours) == len(theirs) and ours[:7] == theirs[:7]  # three numbers and the first tag


def test_all_kinds_hold_the_same_values():
    import h5py

    for kind, output in (("lmdb", "a"), ("leveldb", "b"), ("hdf5", "c.h5"), ("npy", "d.npy")):
        assert extract("pool", output, kind, "3") == 0
    values = np.load("d.npy")
    assert values.shape == (15, 3, 4, 3)
    np.testing.assert_array_equal(records("a")[1], values)
    np.testing.assert_array_equal(records("b", "LEVELDB")[1], values)
    with h5py.File("c.h5") as file:
        np.testing.assert_array_equal(file["pool"][:], values)


def test_caffes_device_argument_is_taken():
    assert extract("ip", "ip.npy", "npy", "1", "CPU") == 0
    assert extract("ip", "ip2.npy", "npy", "1", "TPU") == 2


def test_an_unknown_blob_is_named_and_nothing_is_written(capsys):
    assert extract("ip,pol", "a,b", "lmdb") == 1
    assert "there is no blob 'pol'" in (error := capsys.readouterr().err) and "did you mean 'pool'?" in error
    assert sorted(os.listdir()) == ["db_lmdb", "mean.binaryproto"]


def test_an_output_that_exists_leaves_nothing_new(capsys):
    os.mkdir("pool_lmdb")
    assert extract("ip,pool", "ip_lmdb,pool_lmdb", "lmdb") == 1
    assert "exists already" in capsys.readouterr().err
    assert sorted(os.listdir()) == ["db_lmdb", "mean.binaryproto", "pool_lmdb"]


@pytest.mark.parametrize(("arguments", "message"), [
    (("ip", "a,b", "lmdb"), "1 blobs need"), (("ip", "a", "lmbd"), "did you mean 'lmdb'?"),
    (("ip", "a", "lmdb", "0"), "BATCHES is a number from 1")])
def test_wrong_usage(arguments, message, capsys):
    assert extract(*arguments) == 2
    assert message in capsys.readouterr().err
