"""Writing HDF5 where the disk is full."""

import resource

import h5py
import numpy as np
import pytest

from layerforge.core.errors import DataError
from layerforge.data.hdf5_writer import Hdf5Writer, writing


@pytest.fixture
def small_disk():
    """No file may grow beyond 4000 bytes, as if the disk were full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_rows_that_the_disk_cannot_take_are_one_error_and_leave_no_file(tmp_path, small_disk):
    writer = Hdf5Writer(str(tmp_path / "rows.h5"))
    for _ in range(5):
        writer.append(data=np.ones((3, 1000), np.float32))
    with pytest.raises(DataError, match="rows.h5.* cannot be written: File too large"):
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_an_array_that_the_disk_cannot_take_leaves_the_old_file(tmp_path, small_disk):
    path = tmp_path / "array.h5"
    with writing(path) as file:
        file["x"] = np.arange(3)
    with pytest.raises(DataError, match="cannot be written"), writing(path) as file:
        file["x"] = np.arange(3000)
    with h5py.File(path) as file:
        assert file["x"][:].tolist() == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [path]
