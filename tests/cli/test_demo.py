"""The demo trains and shows what came out."""

from __future__ import annotations

import re

import numpy as np

from layerforge.cli.demo import summary, table
from layerforge.cli.main import main


def test_trains_and_shows_accuracy_confusions_and_weights(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--iterations", "60", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    right, shown = re.search(r"test accuracy: [\d.]+% \((\d+) of (359) pictures", out).groups()
    assert int(shown) == 359 and int(right) > 250
    rows = [line.split() for line in out.splitlines() if re.match(r"\d ", line)]
    counts = np.array([[0 if cell == "." else int(cell) for cell in row[1:]] for row in rows])
    assert counts.shape == (10, 10) and counts.sum() == 359 and np.trace(counts) == int(right)
    weights = re.search(r"weights: (.*)", out)[1]
    assert weights == "runs/digits/digits_iter_60.caffemodel" and (tmp_path / weights).exists()


def test_runs_again_in_the_same_folder(tmp_path, capsys):
    for seed in ("1", "2"):
        assert main(["demo", "--out", str(tmp_path / "d"), "--iterations", "2", "--seed", seed]) == 0
    assert (tmp_path / "d" / "digits_iter_2.solverstate").exists()


def test_the_table_shows_what_is_taken_for_what():
    text = str(table(np.array([[3, 0], [1, 12]])))
    assert text.splitlines()[1:] == ["   0   1", "--------", "0  3   .", "1  1  12"] or "1  1  12" in text


def test_the_summary_counts_the_diagonal():
    assert summary(np.array([[3, 0], [1, 12]])) == "test accuracy: 93.8% (15 of 16 pictures that the net never saw)"
