"""How far a command is: lines where nobody watches, a bar on a terminal."""

from __future__ import annotations

import sys

import pytest

from layerforge.cli.progress import track


def test_items_pass_and_a_line_comes_now_and_then(capsys):
    assert list(track(range(5), "pictures", 1200, every=2)) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err.splitlines() == ["2 of 1,200 pictures", "4 of 1,200 pictures"]


def test_without_a_total_the_count_is_told(capsys):
    assert list(track("abc", "records", every=3)) == ["a", "b", "c"]
    assert capsys.readouterr().err == "3 records\n"


def test_a_terminal_gets_a_bar_and_standard_output_stays_apart(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for item in track(["x", "y"], "pictures", 2):
        print("seen", item)
    out, err = capsys.readouterr()
    assert out == "seen x\nseen y\n" and "pictures" in err


@pytest.mark.parametrize("watched", [True, False])
def test_errors_of_the_items_pass(watched, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: watched, raising=False)

    def broken():
        yield 1
        raise ValueError("picture 2")

    with pytest.raises(ValueError, match="picture 2"):
        list(track(broken(), "pictures"))
