"""dataset writes databases."""

from __future__ import annotations

import pytest

from layerforge.cli.main import main


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
    (["dataset", "digits", "--from", "x"], "--from is for mnist")])
def test_wrong_usage(argv, message, capsys):
    assert main(argv) == 2
    assert message in capsys.readouterr().err
