"""Paths of a prototxt, and writing whole or not at all."""

import os

import pytest

from layerforge.core.errors import DataError
from layerforge.core.files import find_path, new_folder, replacing


def test_the_working_folder_comes_first(tmp_path, monkeypatch):
    (tmp_path / "net").mkdir()
    (tmp_path / "a.txt").write_text("working")
    (tmp_path / "net" / "a.txt").write_text("beside")
    monkeypatch.chdir(tmp_path)
    assert find_path("a.txt", str(tmp_path / "net")) == "a.txt"


def test_the_folder_of_the_prototxt_comes_second(tmp_path, monkeypatch):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "a.txt").write_text("beside")
    monkeypatch.chdir(tmp_path)
    assert find_path("a.txt", "net") == os.path.join("net", "a.txt")


def test_the_error_lists_both_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        find_path("a.txt", str(tmp_path / "net"), what="mean file", where="net.prototxt:3")
    text = str(caught.value)
    assert text.startswith("net.prototxt:3: mean file 'a.txt' is missing")
    assert repr(str(tmp_path / "a.txt")) in text and repr(str(tmp_path / "net" / "a.txt")) in text


def test_a_file_appears_whole(tmp_path):
    with replacing(str(tmp_path / "x")) as temporary:
        with open(temporary, "w") as file:
            file.write("new")
        assert not (tmp_path / "x").exists()
    assert (tmp_path / "x").read_text() == "new" and os.listdir(tmp_path) == ["x"]


def test_an_error_leaves_the_old_file(tmp_path):
    (tmp_path / "x").write_text("old")
    with pytest.raises(DataError, match="cannot be written: disk full"), replacing(str(tmp_path / "x")) as temporary:
        with open(temporary, "w") as file:
            file.write("half")
        raise OSError("disk full")
    assert (tmp_path / "x").read_text() == "old" and os.listdir(tmp_path) == ["x"]


def test_a_folder_appears_whole_or_not(tmp_path):
    with pytest.raises(OSError, match="full"), new_folder(str(tmp_path / "d")):
        raise OSError("disk full")
    assert os.listdir(tmp_path) == []
    with new_folder(str(tmp_path / "d")) as temporary:
        open(os.path.join(temporary, "f"), "w").close()
    assert os.listdir(tmp_path) == ["d"] and os.listdir(tmp_path / "d") == ["f"]


def test_a_folder_that_exists_is_refused(tmp_path):
    with pytest.raises(DataError, match="exists already"), new_folder(str(tmp_path)):
        pass


def test_a_missing_parent_is_an_error(tmp_path):
    with pytest.raises(DataError, match="cannot be written"), replacing(str(tmp_path / "no" / "x")):
        pass
