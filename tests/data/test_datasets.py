"""MNIST and the digits as LMDB databases."""

import gzip
import hashlib
import os
import struct

import numpy as np
import pytest

from layerforge.core.errors import DataError
from layerforge.data import datasets
from layerforge.data.datum import parse_datum
from layerforge.data.reader import open_database

DIGITS = os.path.join(os.path.dirname(__file__), "..", "..", "zoo", "digits", "digits.csv.gz")


def idx(array):
    array = np.asarray(array, np.uint8)
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist_folder(tmp_path, packed):
    rng = np.random.default_rng(0)
    made = {}
    for part, count in (("train", 7), ("test", 3)):
        images, labels = rng.integers(0, 256, (count, 28, 28), np.uint8), rng.integers(0, 10, count)
        made[part] = images, labels
        for file, array in zip(datasets.MNIST[part], (images, labels)):
            data = idx(array)
            (tmp_path / (file.name + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)
    return made


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_becomes_caffes_databases(tmp_path, packed):
    made = mnist_folder(tmp_path, packed)
    out = tmp_path / "out"
    out.mkdir()
    written = datasets.write_mnist(str(tmp_path), str(out))
    assert written == [(str(out / "mnist_train_lmdb"), 7), (str(out / "mnist_test_lmdb"), 3)]
    images, labels = made["train"]
    for i, (key, value) in enumerate(open_database(str(out / "mnist_train_lmdb"), "LMDB").read(7)):
        datum = parse_datum(value, "r")
        assert key == b"%08d" % i and datum.label == labels[i] and datum.shape == (1, 28, 28)
        np.testing.assert_array_equal(datum.array()[0], images[i])


def test_every_fifth_digit_is_a_test_picture(tmp_path):
    assert [count for _, count in datasets.write_digits(DIGITS, str(tmp_path))] == [1438, 359]
    rows = np.loadtxt(gzip.open(DIGITS, "rt"), delimiter=",", dtype=int)
    reader = open_database(str(tmp_path / "digits_test_lmdb"), "LMDB")
    records = [parse_datum(value, "r") for _, value in reader.read(359)]
    assert [datum.label for datum in records] == rows[4::5, 64].tolist()
    np.testing.assert_array_equal(records[1].array().ravel(), rows[9, :64])
    assert max(datum.array().max() for datum in records) == 16


def test_what_exists_is_not_overwritten(tmp_path):
    datasets.write_digits(DIGITS, str(tmp_path))
    with pytest.raises(DataError, match="digits_train_lmdb' exists already"):
        datasets.write_digits(DIGITS, str(tmp_path))


@pytest.mark.parametrize("content, message", [
    (b"\x00\x00\x08\x01\x00\x00\x00\x05abc", "cut off: 3 bytes of 5"),
    (b"\x00\x00\x08\x01\x00\x00\x00\x02abc", "goes on behind the 2 bytes"),
    (b"\x00\x00\x08\x02\xff\xff\xff\xff\xff\xff\xff\xff", "more than"),
    (b"\x00\x00\x0d\x01\x00\x00\x00\x02abcdefgh", "no IDX file of bytes"),
    (b"\x00", "cut off or broken"),
    (gzip.compress(b"\x00\x00\x08\x01\x00\x00\x00\x05abcde")[:-9], "cut off or broken"),
], ids=["too short", "too long", "too large", "no bytes", "no header", "cut in the archive"])
def test_a_broken_idx_file_is_named(tmp_path, content, message):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=f"{tmp_path}/x .*{message}"):
        datasets.read_idx(str(tmp_path / "x"))


def test_a_missing_idx_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"has no train-images-idx3-ubyte or train-images-idx3-ubyte\.gz"):
        datasets.write_mnist(str(tmp_path), str(tmp_path))


def mirror(tmp_path, monkeypatch, data):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "f.gz").write_bytes(gzip.compress(data))
    monkeypatch.setattr(datasets, "MNIST_MIRRORS", [f"{(tmp_path / name).as_uri()}/" for name in ("nowhere", "mirror")])


def test_a_download_goes_on_with_the_next_mirror(tmp_path, monkeypatch):
    mirror(tmp_path, monkeypatch, b"content")
    path = datasets.download_idx(datasets.IdxFile("f", hashlib.sha256(b"content").hexdigest()), str(tmp_path / "to"))
    assert gzip.open(path).read() == b"content" and os.listdir(tmp_path / "to") == ["f.gz"]


def test_a_download_with_another_hash_is_refused(tmp_path, monkeypatch):
    mirror(tmp_path, monkeypatch, b"changed")
    with pytest.raises(DataError, match="cannot be downloaded: .*not the right one"):
        datasets.download_idx(datasets.IdxFile("f", hashlib.sha256(b"content").hexdigest()), str(tmp_path / "to"))
    assert os.listdir(tmp_path / "to") == []
