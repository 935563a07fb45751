"""parse_log writes Caffe's two tables."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from layerforge.cli.main import main

LOGS = Path(__file__).parents[1] / "golden" / "files" / "logs"


def rows(path, delimiter=","):
    with open(path, newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


def test_tables_have_caffes_columns(tmp_path, capsys):
    assert main(["parse_log", str(LOGS / "train.txt"), str(tmp_path)]) == 0
    assert rows(tmp_path / "train.txt.train")[:2] == [
        ["NumIters", "Seconds", "LearningRate", "loss"], ["0.0", "0.000786", "0.05", "2.36323"]]
    assert rows(tmp_path / "train.txt.test")[2] == ["10.0", "0.00297", "0.05", "0.3", "1.58178"]
    assert "train.txt.train: 4 rows" in capsys.readouterr().out


def test_columns_are_separated_as_told(tmp_path):
    assert main(["parse_log", "--delimiter", "\\t", str(LOGS / "train.txt"), str(tmp_path)]) == 0
    assert rows(tmp_path / "train.txt.test", "\t")[0] == ["NumIters", "Seconds", "LearningRate", "accuracy", "loss"]


def test_our_own_log_is_read(line, capsys):
    folder = line()
    assert main(["train", "--solver", "solver.prototxt"]) == 0
    (folder / "own.log").write_text(capsys.readouterr().err)
    assert main(["parse_log", "own.log", "."]) == 0
    assert [row[0] for row in rows("own.log.train")] == ["NumIters", "0.0", "5.0"]
    assert [row[0] for row in rows("own.log.test")] == ["NumIters", "0.0", "5.0", "10.0"]


@pytest.mark.parametrize(("argv", "code", "message"), [
    (["nothing.log", "."], 1, "cannot be read"), ([str(LOGS / "net.prototxt"), "."], 1, "tells of no iteration"),
    ([str(LOGS / "train.txt"), "nowhere"], 1, "'nowhere' does not exist"),
    (["--delimiter", "ab", str(LOGS / "train.txt"), "."], 2, "one character")])
def test_bad_arguments(argv, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["parse_log", *argv]) == code
    assert message in capsys.readouterr().err
