"""dataset writes databases."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from layerforge.cli.main import main
from layerforge.data.datasets import CIFAR10_TEST, CIFAR10_TRAIN
from layerforge.data.datum import parse_datum
from layerforge.data.reader import open_database

FILES = Path(__file__).parents[1] / "golden" / "files"


def test_digits_are_split_into_1438_and_359(tmp_path, capsys):
    assert main(["dataset", "digits", "--out", str(tmp_path / "data")]) == 0
    out = capsys.readouterr().out
    assert "digits_train_lmdb: 1,438 pictures" in out and "digits_test_lmdb: 359 pictures" in out
    assert (tmp_path / "data" / "digits_test_lmdb" / "data.mdb").exists()


def test_mnist_without_its_files_is_a_message(tmp_path, capsys):
    assert main(["dataset", "mnist", "--from", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "train-images-idx3-ubyte" in capsys.readouterr().err


def test_databases_are_not_overwritten(tmp_path, capsys):
    assert main(["dataset", "digits", "--out", str(tmp_path)]) == 0
    assert main(["dataset", "digits", "--out", str(tmp_path)]) == 1
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(("argv", "message"), [
    (["dataset", "minst"], "did you mean 'mnist'?"), (["dataset"], "dataset needs NAME"),
    (["dataset", "digits", "--from", "x"], "--from is not for digits"),
    (["dataset", "cifar10"], "--from is missing"), (["dataset", "folder"], "--from is missing"),
    (["dataset", "folder", "--from", "x", "--resize_width", "3"], "go together")])
def test_wrong_usage(argv, message, capsys):
    assert main(argv) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def cifar(tmp_path):
    """The six files of CIFAR-10's binary version, with three pictures each."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i, name in enumerate((*CIFAR10_TRAIN, *CIFAR10_TEST)):
        rows = rng.integers(0, 256, (3, 3073), np.uint8)
        rows[:, 0] = i, 9, 0
        (folder / name).write_bytes(rows.tobytes())
    return folder


def records(path):
    return [(key, parse_datum(value, "record")) for key, value in open_database(str(path), "LMDB").records(None)]


def test_cifar10_has_caffes_keys_and_rgb_planes(cifar, tmp_path):
    assert main(["dataset", "cifar10", "--from", str(cifar), "--out", str(tmp_path)]) == 0
    train, test = records(tmp_path / "cifar10_train_lmdb"), records(tmp_path / "cifar10_test_lmdb")
    assert [key for key, _ in train] == [b"%05d" % i for i in range(15)] and len(test) == 3
    assert [datum.label for _, datum in train[:6]] == [0, 9, 0, 1, 9, 0]
    assert train[4][1].array().tobytes() == (cifar / "data_batch_2.bin").read_bytes()[3074:6146]


def test_cifar10_is_read_from_its_archive(cifar, tmp_path):
    with tarfile.open(tmp_path / "cifar.tar.gz", "w:gz") as archive:
        archive.add(cifar, "cifar-10-batches-bin")
    assert main(["dataset", "cifar10", "--from", str(tmp_path / "cifar.tar.gz"), "--out", str(tmp_path / "a")]) == 0
    assert main(["dataset", "cifar10", "--from", str(cifar), "--out", str(tmp_path / "b")]) == 0
    a, b = (records(tmp_path / each / "cifar10_train_lmdb") for each in "ab")
    assert [datum.array().tobytes() for _, datum in a] == [datum.array().tobytes() for _, datum in b]


@pytest.mark.parametrize(("content", "message"), [
    (b"\x00" * 3072, "no whole number of rows"), (b"\x0a" + b"\x00" * 3072, "has the label 10"),
    (None, "test_batch.bin")])
def test_broken_cifar10_is_a_message(content, message, cifar, tmp_path, capsys):
    if content is None:
        (cifar / "test_batch.bin").unlink()
    else:
        (cifar / "test_batch.bin").write_bytes(content)
    assert main(["dataset", "cifar10", "--from", str(cifar), "--out", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08broken"])
def test_what_is_no_archive_is_a_message(content, tmp_path, capsys):
    (tmp_path / "x.tar.gz").write_bytes(content)
    assert main(["dataset", "cifar10", "--from", str(tmp_path / "x.tar.gz"), "--out", str(tmp_path)]) == 1
    assert "x.tar.gz" in capsys.readouterr().err


@pytest.fixture
def pets(tmp_path):
    """Six pictures in the folders of two classes."""
    for i in range(6):
        folder = tmp_path / "pets" / ("cat", "dog")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(FILES / "images" / f"img_{(0, 2, 3, 5, 6, 8)[i]:02}.png", folder)
    return tmp_path / "pets"


def test_a_folder_becomes_two_databases_and_the_names_of_its_classes(pets, tmp_path, capsys):
    assert main(["dataset", "folder", "--from", str(pets), "--out", str(tmp_path), "--test_every", "3"]) == 0
    train, test = records(tmp_path / "pets_train_lmdb"), records(tmp_path / "pets_test_lmdb")
    assert (len(train), len(test)) == (4, 2)
    for key, datum in train + test:
        assert datum.label == (b"dog" in key)
    assert (tmp_path / "pets_classes.txt").read_text() == "cat\ndog\n"
    assert "pets_train_lmdb: 4 pictures" in capsys.readouterr().out


def test_a_folder_may_be_resized_and_gray(pets, tmp_path):
    flags = ["--resize_width", "5", "--resize_height", "4", "--gray", "--test_every", "0"]
    assert main(["dataset", "folder", "--from", str(pets), "--out", str(tmp_path), *flags]) == 0
    assert {datum.shape for _, datum in records(tmp_path / "pets_lmdb")} == {(1, 4, 5)}


def test_a_broken_picture_in_a_folder_is_named(pets, tmp_path, capsys):
    (pets / "cat" / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    assert main(["dataset", "folder", "--from", str(pets), "--out", str(tmp_path), "--test_every", "0"]) == 1
    assert "torn.jpg" in capsys.readouterr().err
    assert not (tmp_path / "pets_lmdb").exists()


def test_a_folder_without_classes_is_a_message(tmp_path, capsys):
    assert main(["dataset", "folder", "--from", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "no pictures in folders of their classes" in capsys.readouterr().err
