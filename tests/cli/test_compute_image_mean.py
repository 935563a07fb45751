"""compute_image_mean writes the file that Caffe's tool writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from layerforge.cli.main import main
from layerforge.io.mean import read_mean

FILES = Path(__file__).parents[1] / "golden" / "files"


@pytest.mark.parametrize(("database", "backend", "golden"), [
    ("db_lmdb", "lmdb", "mean"), ("db_leveldb", "leveldb", "mean_png"), ("db_leveldb_table", "leveldb", "mean_png")])
def test_the_file_is_caffes_byte_for_byte(database, backend, golden, tmp_path, capsys):
    out = tmp_path / "mean.binaryproto"
    assert main(["compute_image_mean", f"--backend={backend}", str(FILES / database), str(out)]) == 0
    assert out.read_bytes() == (FILES / f"{golden}.binaryproto").read_bytes()
    assert "Number of channels: 3" in capsys.readouterr().out


def test_a_gray_picture_among_compressed_ones_in_colour_is_an_error(tmp_path):
    out = tmp_path / "mean.binaryproto"
    assert main(["compute_image_mean", str(FILES / "db_encoded_lmdb"), str(out)]) == 1
    assert not out.exists()


def test_without_a_file_the_channels_are_printed(capsys):
    assert main(["compute_image_mean", str(FILES / "db_lmdb")]) == 0
    printed = [float(line.rpartition(" ")[2]) for line in capsys.readouterr().out.splitlines()[1:]]
    np.testing.assert_allclose(printed, read_mean(FILES / "mean.binaryproto").mean((1, 2)), rtol=1e-5)


def test_a_record_of_another_size_is_named(make_lmdb, tmp_path, capsys):
    path = make_lmdb([(np.zeros((1, 2, 2), np.uint8), 0), (np.zeros((1, 3, 2), np.uint8), 0)])
    assert main(["compute_image_mean", path, str(tmp_path / "mean")]) == 1
    assert "record '00000001' has the shape (1, 3, 2)" in capsys.readouterr().err
    assert not (tmp_path / "mean").exists()


def test_float_records_count_too(tmp_path):
    assert main(["compute_image_mean", str(FILES / "features" / "pool_lmdb"), str(tmp_path / "mean")]) == 0
    assert read_mean(tmp_path / "mean").shape == (3, 4, 3)
