"""Kinds of files told by their content."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from layerforge.core.errors import DataError, PrototxtError
from layerforge.io.kinds import kind_of
from layerforge.io.weights import read_weights, write_weights

FILES = Path(__file__).parents[1] / "golden" / "files"


@pytest.mark.parametrize(("path", "kind"), [
    ("model/small.prototxt", "net"), ("upgrade/net_v0.prototxt", "net"), ("upgrade/solver_adam.prototxt", "solver"),
    ("model/small.caffemodel", "weights"), ("model/small_v1.caffemodel", "weights"),
    ("model/small.caffemodel.h5", "weights"), ("model/small_iter_3.solverstate", "state"),
    ("model/small_iter_3.solverstate.h5", "state"), ("mean.binaryproto", "array"), ("db_lmdb", "lmdb"),
    ("db_lmdb/data.mdb", "lmdb"), ("db_leveldb", "leveldb"), ("db_leveldb_table", "leveldb")])
def test_caffes_files_are_known_by_content(path, kind, tmp_path):
    assert kind_of(str(FILES / path)) == kind
    if (FILES / path).is_file():
        shutil.copy(FILES / path, tmp_path / "anything")
        assert kind_of(str(tmp_path / "anything")) == kind


def test_safetensors_are_weights(tmp_path):
    pytest.importorskip("safetensors", reason="safetensors files need the package of that name")
    write_weights(tmp_path / "w", read_weights(FILES / "model" / "small.caffemodel"), "safetensors")
    assert kind_of(str(tmp_path / "w")) == "weights"


def test_other_hdf5_and_numpy_files_are_known(tmp_path):
    import h5py

    with h5py.File(tmp_path / "rows", "w") as file:
        file["data"] = np.zeros(3)
    np.save(tmp_path / "array.npy", np.zeros(3))
    assert kind_of(str(tmp_path / "rows")) == "hdf5"
    assert kind_of(str(tmp_path / "array.npy")) == "npy"


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\x00\x00", b"\x00", b"\x08"])
def test_what_is_unknown_is_an_error_that_lists_the_kinds(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match="is of no known kind"):
        kind_of(str(tmp_path / "file"))


def test_a_text_with_a_slip_is_told_as_the_text_it_is(tmp_path):
    (tmp_path / "net").write_text('layer {\n  nam: "x"\n}\n')
    (tmp_path / "solver").write_text("base_lr: 1\nlr_polcy: 'fixed'\n")
    with pytest.raises(PrototxtError, match="'name'"):
        kind_of(str(tmp_path / "net"))
    with pytest.raises(PrototxtError, match="lr_policy"):
        kind_of(str(tmp_path / "solver"))


def test_missing_files_and_folders_without_a_database_are_errors(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(DataError, match=str(path)):
            kind_of(str(path))
