"""classify and detect: pictures through a small net whose answers are known."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest

import layerforge
from layerforge.cli.main import main

NET = """
name: "colours"
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: {channels} dim: 4 dim: 4 }} }} }}
layer {{ name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "mean" top: "ip" inner_product_param {{ num_output: {channels} }} }}
"""
COLOURS = {"blue": (200, 10, 10), "green": (10, 200, 10), "red": (10, 10, 200)}  # BGR, as OpenCV writes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A net whose three outputs are the means of the channels B, G, R, and three pictures of 6 × 5 pixels."""
    monkeypatch.chdir(tmp_path)
    save_net(3)
    (tmp_path / "pictures").mkdir()
    for name, colour in COLOURS.items():
        cv2.imwrite(str(tmp_path / "pictures" / f"{name}.png"), np.full((6, 5, 3), colour, np.uint8))
    (tmp_path / "labels.txt").write_text("n01440764 blue\ngreen\nred\n")
    return tmp_path


def save_net(channels):
    with open("net.prototxt", "w") as file:
        file.write(NET.format(channels=channels))
    net = layerforge.Net("net.prototxt", layerforge.TEST)
    net.params["ip"][0].data[...] = np.eye(channels)
    net.params["ip"][1].data[...] = 0
    net.save("net.caffemodel")


def classify(*arguments):
    return main(["classify", "--model", "net.prototxt", "--weights", "net.caffemodel", *arguments])


def detect(*arguments):
    return main(["detect", "--model_def=net.prototxt", "--pretrained_model=net.caffemodel", *arguments])


def test_pictures_of_a_folder_get_their_labels(folder, capsys):
    assert classify("--labels", "labels.txt", "--top", "1", "pictures") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["---------- Prediction for pictures/blue.png ----------", '200.0000 - "blue"',
                     "---------- Prediction for pictures/green.png ----------", '200.0000 - "green"',
                     "---------- Prediction for pictures/red.png ----------", '200.0000 - "red"']


def test_one_picture_and_caffes_names_of_flags(folder, capsys):
    assert main(["classify", "pictures/red.png", "out.npy", "--model_def", "net.prototxt", "--pretrained_model",
                 "net.caffemodel", "--center_only", "--images_dim", "5,5"]) == 0
    np.testing.assert_allclose(np.load("out.npy"), [[10, 10, 200]], rtol=1e-5)


@pytest.mark.parametrize(("flags", "expected"), [
    (("--mean_value", "1,2,3"), [9, 8, 197]), (("--mean_value", "10"), [0, 0, 190]),
    (("--raw_scale", "1"), np.array([10, 10, 200]) / 255), (("--input_scale", "0.5"), [5, 5, 100]),
    (("--channel_swap", "0,1,2"), [200, 10, 10]), (("--mean_file", "mean.npy"), [9, 8, 197]),
    (("--mean_file", "mean.binaryproto"), [9, 8, 197])])
def test_preparation_goes_channel_order_raw_scale_mean_input_scale(flags, expected, folder):
    from layerforge.io.mean import write_mean

    mean = np.broadcast_to(np.array([1, 2, 3], np.float32)[:, None, None], (3, 6, 5))
    np.save("mean.npy", mean)
    write_mean("mean.binaryproto", mean)
    assert classify(*flags, "pictures/red.png", "out.npy") == 0
    np.testing.assert_allclose(np.load("out.npy"), [expected], rtol=1e-5, atol=1e-5)


def test_an_array_of_pictures_is_classified(folder):
    np.save("in.npy", np.random.default_rng(0).random((5, 4, 4, 3)))
    assert classify("in.npy", "out.npy") == 0
    np.testing.assert_allclose(np.load("out.npy"), 255 * np.load("in.npy").mean((1, 2))[:, ::-1], rtol=1e-5)


def test_a_net_of_one_channel_takes_luminance(folder):
    save_net(1)
    assert classify("pictures/red.png", "out.npy") == 0
    np.testing.assert_allclose(np.load("out.npy"), [[0.2125 * 200 + 0.7875 * 10]], rtol=1e-4)


def test_another_blob_can_be_taken(folder):
    assert classify("--blob", "mean", "pictures/red.png", "out.npy") == 0
    assert np.load("out.npy").shape == (1, 3)


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (("nothing.png",), 1, "nothing.png"), (("labels.txt",), 1, "labels.txt cannot be decoded"),
    (("--mean_value", "1,2", "pictures"), 1, "the mean has 2 channels"),
    (("--mean_file", "labels.npy", "pictures"), 1, "labels.npy cannot be read"),
    (("--labels", "two.txt", "pictures"), 1, "two.txt has 2 lines, the net 3 classes"),
    (("--blob", "maen", "pictures"), 1, "did you mean 'mean'?"),
    (("--channel_swap", "0,1", "pictures"), 2, "no order of 3 channels"),
    (("--images_dim", "3,3", "pictures"), 2, "at least 4,4"),
    (("pictures", "out.txt"), 2, "OUTPUT is a .npy file"),
    (("--mean_value", "1", "--mean_file", "x", "pictures"), 2, "exclude each other")])
def test_bad_arguments_are_messages_and_write_nothing(arguments, code, message, folder, capsys):
    (folder / "two.txt").write_text("a\nb\n")
    before = sorted(folder.iterdir())
    assert classify(*arguments) == code
    assert message in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


def test_a_pickled_array_is_never_loaded(folder, capsys):
    np.save("in.npy", np.array([{"a": 1}], object), allow_pickle=True)
    assert classify("in.npy") == 1
    assert "no .npy file of numbers" in capsys.readouterr().err


def test_a_net_without_input_is_a_message(folder, capsys):
    source = 'layer { name: "d" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 } } }'
    (folder / "net.prototxt").write_text(source)
    assert classify("pictures") == 1
    assert "no input of pictures" in capsys.readouterr().err


def test_windows_are_scored_in_the_order_of_the_table(folder):
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[:, 10:] = COLOURS["red"]
    cv2.imwrite("half.png", picture)
    table = "filename, xmin, ymin, xmax, ymax\nhalf.png, 10, 0, 20, 20\nhalf.png, 0, 5, 10, 15\n"
    (folder / "windows.csv").write_text(table)
    assert detect("--context_pad", "0", "windows.csv", "scores.csv") == 0
    with open("scores.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["filename", "ymin", "xmin", "ymax", "xmax", "class0", "class1", "class2"]
    assert [row[:5] for row in rows[1:]] == [["half.png", "0", "10", "20", "20"], ["half.png", "5", "0", "15", "10"]]
    np.testing.assert_allclose([[float(x) for x in row[5:]] for row in rows[1:]], [[10, 10, 200], [0, 0, 0]], atol=1e-4)


def test_hdf5_holds_the_same(folder):
    import h5py

    (folder / "windows.csv").write_text("filename,ymin,xmin,ymax,xmax\npictures/red.png,0,0,5,5\n")
    assert detect("--context_pad", "0", "windows.csv", "scores.h5") == 0
    with h5py.File("scores.h5") as file:
        assert file["filename"][0] == b"pictures/red.png" and file["window"][0].tolist() == [0, 0, 5, 5]
        np.testing.assert_allclose(file["prediction"][:], [[10, 10, 200]], rtol=1e-5)


@pytest.mark.parametrize(("table", "message"), [
    ("filename,xmin\n", "the column 'ymin' is missing"), ("", "column 'filename' is missing"),
    ("filename,ymin,xmin,ymax,xmax\n", "has no windows"),
    ("filename,ymin,xmin,ymax,xmax\npictures/red.png,0,0,5\n", "w.csv:2: a window is four numbers"),
    ("filename,ymin,xmin,ymax,xmax\npictures/red.png,5,0,5,5\n", "w.csv:2: the window"),
    ("filename,ymin,xmin,ymax,xmax\npictures/red.png,0,0,7,5\n", "ends outside"),
    ("filename,ymin,xmin,ymax,xmax\nx.png,0,0,7,5\n", "x.png")])
def test_broken_tables_are_messages(table, message, folder, capsys):
    (folder / "w.csv").write_text(table)
    assert detect("--context_pad", "0", "w.csv", "scores.csv") == 1
    assert message in capsys.readouterr().err
    assert not (folder / "scores.csv").exists()


def test_selective_search_is_refused_with_the_way_out(folder, capsys):
    assert detect("--crop_mode=selective_search", "list.txt", "scores.csv") == 2
    assert "windows must be given" in capsys.readouterr().err
