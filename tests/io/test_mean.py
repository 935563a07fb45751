"""Mean pictures."""

from pathlib import Path

import numpy as np
import pytest

from layerforge.core.errors import DataError
from layerforge.io.mean import read_mean, write_mean

FILES = Path(__file__).parents[1] / "golden" / "files"


def test_a_mean_of_caffe_is_read_and_written_byte_for_byte(tmp_path):
    mean = read_mean(FILES / "mean.binaryproto")
    assert mean.shape == (3, 32, 28) and mean.dtype == np.float32
    write_mean(tmp_path / "mean.binaryproto", mean)
    assert (tmp_path / "mean.binaryproto").read_bytes() == (FILES / "mean.binaryproto").read_bytes()


def test_a_file_of_another_kind_is_told():
    with pytest.raises(DataError):
        read_mean(FILES / "model" / "small.caffemodel")
