"""Classifier and Detector over a net whose output is known."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import layerforge as caffe
from layerforge.core.errors import DeviceError

MEANS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 10 dim: 3 dim: 4 dim: 4 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }
layer { name: "scale" type: "Scale" bottom: "mean" top: "scale" scale_param { filler { value: 1 } } }
layer { name: "out" type: "Flatten" bottom: "scale" top: "out" }
"""


@pytest.fixture
def files(make_net):
    """Prototxt and weights of a net that gives each channel's mean."""
    make_net(MEANS, caffe.TEST).save("w.caffemodel")
    return "net.prototxt", "w.caffemodel"


def pictures(count, size=(6, 8)):
    return list(np.random.default_rng(1).random((count, *size, 3)).astype(np.float32))


def test_the_centre_crop_is_what_the_net_sees(files):
    classifier = caffe.Classifier(*files, image_dims=(6, 8))
    images = pictures(3)
    got = classifier.predict(images, oversample=False)
    want = np.stack([image[1:5, 2:6].mean((0, 1)) for image in images])
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_oversampling_averages_ten_crops(files):
    classifier = caffe.Classifier(*files, image_dims=(6, 8))
    images = pictures(2)
    crops = caffe.io.oversample(images, (4, 4))
    want = crops.mean((1, 2)).reshape(2, 10, 3).mean(1)
    np.testing.assert_allclose(classifier.predict(images), want, rtol=1e-4)


def test_preparation_is_applied(files):
    mean = np.array([1.0, 2.0, 3.0])
    classifier = caffe.Classifier(*files, mean=mean, raw_scale=255, channel_swap=(2, 1, 0), input_scale=2)
    image = pictures(1, (4, 4))
    got = classifier.predict(image, oversample=False)[0]
    np.testing.assert_allclose(got, 2 * (255 * image[0].mean((0, 1))[::-1] - [1, 2, 3]), rtol=1e-4)


def test_pictures_are_scaled_to_the_nets_size_by_default(files):
    assert caffe.Classifier(*files).predict(pictures(1, (9, 7))).shape == (1, 3)


@pytest.fixture
def picture(tmp_path):
    import cv2

    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "p.png"), pixels)
    return str(tmp_path / "p.png")


def test_every_window_gets_its_prediction(files, picture):
    detector = caffe.Detector(*files)
    windows = [(0, 0, 4, 4), (2, 3, 6, 7), (1, 1, 9, 13)]
    found = detector.detect_windows([(picture, windows)])
    image = caffe.io.load_image(picture)
    assert [entry["window"] for entry in found] == windows and {entry["filename"] for entry in found} == {picture}
    for entry in found[:2]:
        y0, x0, y1, x1 = entry["window"]
        np.testing.assert_allclose(entry["prediction"], image[y0:y1, x0:x1].mean((0, 1)), rtol=1e-4)


def test_context_beyond_the_picture_is_the_mean(files, picture):
    detector = caffe.Detector(*files, mean=np.array([0.1, 0.2, 0.3]), context_pad=1)
    crop = detector.crop(caffe.io.load_image(picture), (0, 0, 3, 3))
    assert crop.shape == (4, 4, 3)
    np.testing.assert_allclose(crop[0], np.broadcast_to([0.1, 0.2, 0.3], (4, 3)), rtol=1e-5)


def test_selective_search_proposes_windows(files, picture, monkeypatch):
    detector = caffe.Detector(*files)
    with pytest.raises(DeviceError, match="selective search is missing"):
        detector.detect_selective_search([picture])
    search = SimpleNamespace(get_windows=lambda names, cmd: [[(0, 0, 4, 4), (1, 1, 6, 6)] for _ in names])
    monkeypatch.setitem(sys.modules, "selective_search_ijcv_with_python", search)
    assert [entry["window"] for entry in detector.detect_selective_search([picture])] == [(0, 0, 4, 4), (1, 1, 6, 6)]


def test_no_windows_give_no_predictions(files):
    assert caffe.Detector(*files).detect_windows([]) == []
