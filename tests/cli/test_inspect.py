"""inspect says what is in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import layerforge.zoo
from layerforge.cli.main import main

FILES = Path(__file__).parents[1] / "golden" / "files"
ZOO = Path(layerforge.zoo.__path__[0])


@pytest.fixture
def inspect(capsys):
    """Runs the command; returns its lines, spaces narrowed."""
    def run(path, *flags, code=0):
        assert main(["inspect", str(path), *flags]) == code
        out, err = capsys.readouterr()
        return [" ".join(line.split()) for line in (out if code == 0 else err).splitlines()]

    return run


def test_a_net_is_a_table_with_shapes_parameters_and_macs(inspect):
    lines = inspect(ZOO / "lenet" / "deploy.prototxt")
    assert "conv2 Convolution 1×50×8×8 25,050 1,600,000" in lines
    assert "all layers 431,080 2,293,000" in lines
    assert "parameters 1.6 MiB" in lines and "inputs data 1×1×28×28" in lines


def test_a_net_without_its_data_shows_its_wiring(inspect, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = inspect(ZOO / "lenet" / "train_val.prototxt", "--phase", "TRAIN")
    assert "loss SoftmaxWithLoss ip2 label loss" in lines and not any("accuracy" in line for line in lines)
    assert any(line.startswith("shapes are not known") for line in lines)


def test_a_solver_lists_its_fields(inspect):
    assert "type Adam" in inspect(FILES / "upgrade" / "solver_adam.prototxt")


@pytest.mark.parametrize("name", ["small.caffemodel", "small.caffemodel.h5"])
def test_weights_list_every_blob_with_its_range(name, inspect):
    lines = inspect(FILES / "model" / name)
    assert any(line.startswith("conv1") and "4×1×3×3 36 -0.5477 -0.02864 0.5435" in line for line in lines)
    assert "all layers 386" in lines


def test_values_that_are_no_numbers_are_counted(inspect, tmp_path):
    np.save(tmp_path / "x.npy", np.array([1.0, np.nan, np.inf]))
    assert "mean 2 not finite" in inspect(tmp_path / "x.npy")


@pytest.mark.parametrize("name", ["small_iter_3.solverstate", "small_iter_3.solverstate.h5"])
def test_a_state_tells_where_the_run_stood(name, inspect):
    lines = inspect(FILES / "model" / name)
    assert "iteration 3" in lines and "exact resume no: the file has Caffe's part alone" in lines
    assert any(line.startswith("8 5×64") for line in lines)


def test_a_mean_file_tells_its_channels(inspect):
    lines = inspect(FILES / "mean.binaryproto")
    assert "shape 1×3×32×28" in lines and "0 82.75 118.8 154.2" in lines


@pytest.mark.parametrize(("name", "expected"), [
    ("db_lmdb", ["records 20", "content 3×32×28 bytes (20)", "labels 5, from 0 to 4"]),
    ("db_encoded_lmdb", ["content compressed (20)"]), ("features/pool_lmdb", ["content 3×4×3 floats (20)"]),
    ("db_leveldb_table", ["records at least 13"])])
def test_a_database_tells_records_shapes_and_labels(name, expected, inspect):
    lines = inspect(FILES / name)
    assert all(line in lines for line in expected)


def test_only_so_many_records_are_read(inspect):
    assert any(line.startswith("read 3 of") for line in inspect(FILES / "db_lmdb", "--records", "3"))


def test_an_hdf5_file_lists_its_datasets(inspect, tmp_path):
    import h5py

    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["a/b"] = np.zeros((3, 4), np.float32)
        file["a/up"] = file["a"]  # a circle
        file["out"] = h5py.ExternalLink("/etc/passwd", "/")
    lines = inspect(tmp_path / "rows.h5")
    assert "a/b 3×4 float32 48 bytes" in lines and not any(line.startswith("out") for line in lines)


def test_a_broken_record_is_named(inspect, make_lmdb):
    lines = inspect(make_lmdb([b"\xff\xff"]), code=1)
    assert "record '00000000' is broken" in lines[0]
