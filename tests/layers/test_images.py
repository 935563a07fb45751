"""ImageData: folders of classes, several labels, augmentation, names that lead elsewhere."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from layerforge.core.errors import DataError, LayerError
from layerforge.layers.images import ImageData
from layerforge.layers.windows import WindowData
from layerforge.testing.harness import Rig


@pytest.fixture
def rig():
    """Makes ImageData layers; their threads end with the test."""
    opened = []

    def make(source, batch_size=3, **more):
        opened.append(Rig(ImageData, {"source": str(source), "batch_size": batch_size, **more}))
        return opened[-1]

    yield make
    for each in opened:
        each.layer.close()


@pytest.fixture
def pets(tmp_path):
    """cat: 1, 2; dog: 3, 4, 5; number i is i everywhere. A folder without pictures and a file lie beside."""
    for i in range(1, 6):
        folder = tmp_path / "pets" / ("cat" if i < 3 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{i}.png"), np.full((6, 5, 3), i, np.uint8))
    (tmp_path / "pets" / "ant").mkdir()
    (tmp_path / "pets" / "dog" / "notes.txt").write_text("no picture")
    return tmp_path / "pets"


def test_folders_are_classes_in_the_order_of_their_names(rig, pets, caplog):
    with caplog.at_level("INFO", "layerforge"):
        made = rig(pets, 5)
    data, labels = made.forward()
    assert data[:, 0, 0, 0].tolist() == [1, 2, 3, 4, 5] and labels.tolist() == [0, 0, 1, 1, 1]
    assert "the classes are 0 cat, 1 dog" in caplog.text


def test_a_folder_may_be_shuffled_and_resumed(rig, pets):
    first = rig(pets, 2, shuffle=True)
    first.forward()
    state = first.layer.state()
    expected = [first.forward()[1].tolist() for _ in range(4)]
    second = rig(pets, 2, shuffle=True)
    second.layer.load_state(state)
    assert [second.forward()[1].tolist() for _ in range(4)] == expected


@pytest.mark.parametrize("more", [{"root_folder": "/x/"}, {"labels": 2}])
def test_what_belongs_to_lists_is_refused_for_folders(rig, more, pets):
    with pytest.raises(LayerError, match="is a folder of classes"):
        rig(pets, **more)


def test_a_folder_without_pictures_is_an_error(rig, tmp_path):
    with pytest.raises(DataError, match="no pictures in folders of their classes"):
        rig(tmp_path)


def test_several_labels_make_a_row_each(rig, pets, tmp_path):
    (tmp_path / "list.txt").write_text("cat/1.png 1 0 0.5\ndog/3.png 0 1 -2\n")
    made = rig(tmp_path / "list.txt", 2, root_folder=f"{pets}/", labels=3)
    data, labels = made.forward()
    assert labels.shape == (2, 3) and labels.tolist() == [[1, 0, 0.5], [0, 1, -2]]


@pytest.mark.parametrize("line", ["a.png 1", "1 2", "a.png 1 x"])
def test_a_line_with_too_few_labels_is_named(rig, line, tmp_path):
    (tmp_path / "list.txt").write_text(f"b c.png 1 2\n{line}\n")
    with pytest.raises(DataError, match=r"a name and 2 numbers are needed") as caught:
        rig(tmp_path / "list.txt", labels=2)
    assert str(caught.value.where).endswith("list.txt:2")


def test_augmentation_is_that_of_the_record(rig, pets):
    fields = {"crop_size": 4, "mirror": True, "rotation_degrees": 20.0,
              "resized_crop_param": {"area_lower": 0.3},
              "distort_param": {"brightness_prob": 1.0, "brightness_delta": 30.0}}
    batches = []
    for size in (2, 4):
        made = rig(pets, size, transform_param=fields)
        batches.append(np.concatenate([made.forward()[0] for _ in range(8 // size)]))
        assert batches[0].shape == (8, 3, 4, 4)
    np.testing.assert_array_equal(*batches)


def test_a_name_that_leads_out_of_the_root_folder_is_refused(rig, pets, tmp_path):
    cv2.imwrite(str(tmp_path / "secret.png"), np.zeros((6, 5, 3), np.uint8))
    (tmp_path / "list.txt").write_text("../secret.png 0\n")
    with pytest.raises(DataError, match="leads out of the root folder"):
        rig(tmp_path / "list.txt", root_folder=f"{pets}/")


def test_windows_refuse_augmentation(tmp_path):
    with pytest.raises(LayerError, match="windows are not rotated"):
        Rig(WindowData, {"source": "w.txt", "batch_size": 2,
                         "transform_param": {"crop_size": 4, "rotation_degrees": 5.0}})
