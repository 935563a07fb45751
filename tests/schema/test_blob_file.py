"""One array in a .binaryproto."""

import numpy as np
import pytest

from layerforge.core.errors import DataError
from layerforge.schema.blob_file import read_blob
from layerforge.schema.messages import message_class


def saved(tmp_path, **fields):
    path = tmp_path / "a.binaryproto"
    path.write_bytes(message_class("BlobProto")(**fields).SerializeToString())
    return path


def test_four_old_numbers_give_four_axes(tmp_path):
    assert read_blob(saved(tmp_path, num=1, channels=1, height=1, width=2, data=[1.0, 2.0])).shape == (1, 1, 1, 2)


def test_doubles_stay_doubles(tmp_path):
    values = read_blob(saved(tmp_path, shape={"dim": [2]}, double_data=[1.0, 2.0]))
    assert values.dtype == np.float64 and values.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "data, told",
    [
        (b"", "holds no BlobProto"),
        (b"\xff\xd8\xff", "holds no whole BlobProto"),
        (b"\x2a\x08abcd", "holds no whole BlobProto"),
    ],
)
def test_files_of_another_kind_are_told(tmp_path, data, told):
    path = tmp_path / "a.binaryproto"
    path.write_bytes(data)
    with pytest.raises(DataError, match=told):
        read_blob(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_blob(tmp_path / "none")
