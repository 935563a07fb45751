"""Picture files as records."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from layerforge.core.errors import DataError
from layerforge.data import convert
from layerforge.data.convert import Conversion, file_records, folder_list, label_records
from layerforge.data.datum import parse_datum
from layerforge.data.image_list import ImageList
from layerforge.data.images import inside


@pytest.fixture
def numbered(tmp_path):
    """Makes pictures of which number i is i everywhere, and their list with the labels 10 · i."""
    def make(count):
        names = [f"{i}.png" for i in range(count)]
        for i, name in enumerate(names):
            cv2.imwrite(str(tmp_path / name), np.full((3, 4, 3), i, np.uint8))
        return ImageList(names, [10 * i for i in range(count)], list(range(1, count + 1))), Conversion(f"{tmp_path}/")

    return make


def test_records_keep_the_order_of_the_list_however_many_are_worked_on(numbered):
    pictures, conversion = numbered(70)
    made = [(key, parse_datum(value, "record")) for key, value in file_records(pictures, conversion)]
    assert [key for key, _ in made] == [b"%08d_%d.png" % (i, i) for i in range(70)]
    assert [datum.label for _, datum in made] == pictures.labels
    assert [int(datum.array().max()) for _, datum in made] == list(range(70))


def test_only_a_few_pictures_are_held_at_once(numbered, monkeypatch):
    pictures, conversion = numbered(60)
    started = []
    record = Conversion.record
    monkeypatch.setattr(Conversion, "record", lambda self, *rest: (started.append(1), record(self, *rest))[1])
    next(file_records(pictures, conversion))
    assert len(started) <= 4 * (convert.AHEAD + 1)


def test_labels_follow_their_pictures_through_an_order(numbered):
    pictures = ImageList(["a", "b", "c"], [[1, 2], [3, 4], [5, 6]])
    keys = [b"00000000_c", b"00000002_b"]
    made = list(label_records(pictures, keys, [2, 0, 1]))
    assert [parse_datum(value, "record").array().ravel().tolist() for _, value in made] == [[5, 6], [3, 4]]


@pytest.mark.parametrize(("root", "name"), [
    ("pets/", "cat/1.jpg"), ("", "../1.jpg"), ("pets/cat_", "1.jpg"), ("/", "/data/1.jpg"), ("../up/", "1.jpg"),
    ("pets/", "cat/../dog/1.jpg")])
def test_names_below_the_root_are_taken(root, name):
    assert inside(root, name) == root + name


@pytest.mark.parametrize(("root", "name"), [
    ("pets/", "../1.jpg"), ("pets/", "cat/../../1.jpg"), ("pets/cat_", "/../../1.jpg"), ("../up/", "../1.jpg")])
def test_names_outside_of_the_root_are_refused(root, name):
    with pytest.raises(DataError, match="leads out of the root folder"):
        inside(root, name)


def test_every_nth_picture_of_a_class_is_for_the_test(tmp_path):
    for name, count in (("b", 5), ("a", 3)):
        (tmp_path / name).mkdir()
        for i in range(count):
            (tmp_path / name / f"{i}.JPG").touch()
    classes, train, test = folder_list(str(tmp_path), 2)
    assert classes == ["a", "b"]
    assert train.names == ["a/0.JPG", "a/2.JPG", "b/0.JPG", "b/2.JPG", "b/4.JPG"] and train.labels == [0, 0, 1, 1, 1]
    assert test.names == ["a/1.JPG", "b/1.JPG", "b/3.JPG"] and test.labels == [0, 1, 1]
