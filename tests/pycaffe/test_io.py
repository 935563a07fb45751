"""caffe.io: pictures, Transformer, messages. Caffe's own numbers are in the golden case random/IO__transformer."""

from __future__ import annotations

import numpy as np
import pytest

import layerforge as caffe
from layerforge.core.errors import DataError

io, pb = caffe.io, caffe.proto.caffe_pb2


@pytest.fixture
def picture(tmp_path):
    """A PNG of 5×4 pixels and its RGB bytes."""
    import cv2

    rgb = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "p.png"), rgb[:, :, ::-1])
    return str(tmp_path / "p.png"), rgb


def test_load_image_gives_rgb_from_0_to_1(picture):
    path, rgb = picture
    image = io.load_image(path)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, rgb / 255, atol=1e-6)


def test_load_image_without_color_gives_luminance(picture):
    path, rgb = picture
    np.testing.assert_allclose(io.load_image(path, color=False), rgb @ [[0.2125], [0.7154], [0.0721]] / 255, atol=1e-5)


def test_a_missing_picture_is_named(tmp_path):
    with pytest.raises(DataError, match="none.png"):
        io.load_image(str(tmp_path / "none.png"))


def test_resize_keeps_channels_and_values_of_a_ramp():
    ramp = np.repeat(np.linspace(0, 1, 8, dtype=np.float32)[:, None], 6, 1)[:, :, None].repeat(5, 2)  # (8, 6, 5)
    small = io.resize_image(ramp, (4, 3))
    assert small.shape == (4, 3, 5) and small.dtype == np.float32
    np.testing.assert_allclose(small[:, 0, 0], ramp[:, 0, 0].reshape(4, 2).mean(1), atol=1e-6)
    with pytest.raises(ValueError, match="interp_order 2"):
        io.resize_image(ramp, (4, 3), 2)


def transformer():
    t = io.Transformer({"data": (1, 3, 5, 4)})
    t.set_transpose("data", (2, 0, 1))
    t.set_channel_swap("data", (2, 1, 0))
    t.set_raw_scale("data", 255)
    t.set_mean("data", np.array([104.0, 117.0, 123.0]))
    t.set_input_scale("data", 0.017)
    return t


def test_preprocess_follows_caffes_order(picture):
    path, rgb = picture
    x = transformer().preprocess("data", io.load_image(path))
    want = (rgb[:, :, ::-1].astype(np.float32) - [104, 117, 123]) * 0.017  # BGR
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, want.transpose(2, 0, 1), rtol=1e-4, atol=1e-4)


def test_deprocess_is_the_way_back(picture):
    image = io.load_image(picture[0])
    t = transformer()
    np.testing.assert_allclose(t.deprocess("data", t.preprocess("data", image)), image, atol=1e-5)


def test_preprocess_leaves_the_picture_alone(picture):
    image = io.load_image(picture[0])
    before = image.copy()
    transformer().preprocess("data", image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("call, message", [
    (lambda t: t.preprocess("other", np.zeros((5, 4, 3))), "'other' is no input"),
    (lambda t: t.set_transpose("data", (1, 0)), "must name 3 axes"),
    (lambda t: t.set_channel_swap("data", (1, 0)), "must name 3 channels"),
    (lambda t: t.set_mean("data", np.zeros(4)), "4 channels, the input 3"),
    (lambda t: t.set_mean("data", np.zeros((1, 3, 5, 4))), "1 to 3 axes")])
def test_wrong_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(transformer())


def test_a_mean_picture_of_another_size_is_resized():
    t = io.Transformer({"data": (1, 3, 5, 4)})
    t.set_mean("data", np.full((3, 9, 9), 2.0))
    np.testing.assert_allclose(t.mean["data"], np.full((3, 5, 4), 2.0))


def test_oversample_gives_corners_centre_and_mirrors():
    image = np.arange(30, dtype=np.float32).reshape(5, 6, 1)
    crops = io.oversample([image, image + 100], (3, 4))
    assert crops.shape == (20, 3, 4, 1)
    np.testing.assert_array_equal(crops[3], image[2:, 2:])
    np.testing.assert_array_equal(crops[4], image[1:4, 1:5])
    np.testing.assert_array_equal(crops[5:10], crops[:5, :, ::-1])
    np.testing.assert_array_equal(crops[10], crops[0] + 100)


def test_blobs_go_through_messages():
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    blob = io.array_to_blobproto(x, -x)
    np.testing.assert_array_equal(io.blobproto_to_array(blob), x)
    np.testing.assert_array_equal(io.blobproto_to_array(blob, return_diff=True), -x)


def test_old_blobs_have_four_numbers_for_a_shape():
    blob = pb.BlobProto(num=1, channels=2, height=1, width=3, data=range(6))
    assert io.blobproto_to_array(blob).tolist() == [[[[0, 1, 2]], [[3, 4, 5]]]]


def test_lists_of_arrays_go_through_bytes():
    arrays = [np.ones((2, 2)), np.zeros(3)]
    back = io.blobprotovector_str_to_arraylist(io.arraylist_to_blobprotovector_str(arrays))
    assert all((a == b).all() and a.shape == b.shape for a, b in zip(arrays, back))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_datums_keep_their_kind_of_number(dtype):
    x = np.arange(24).reshape(2, 3, 4).astype(dtype)
    datum = io.array_to_datum(x, 7)
    back = pb.Datum.FromString(datum.SerializeToString())
    assert back.label == 7 and bool(back.data) == (dtype is np.uint8)
    np.testing.assert_array_equal(io.datum_to_array(back), x)


def test_an_encoded_datum_is_refused():
    with pytest.raises(DataError, match="encoded"):
        io.datum_to_array(pb.Datum(encoded=True))


def test_a_datum_has_three_axes():
    with pytest.raises(ValueError, match="3 axes"):
        io.array_to_datum(np.zeros((2, 2)))


def test_mean_files_are_read_as_scripts_do(tmp_path):
    mean = np.random.default_rng(0).random((1, 3, 4, 4)).astype(np.float32)
    (tmp_path / "mean.binaryproto").write_bytes(io.array_to_blobproto(mean).SerializeToString())
    blob = pb.BlobProto()
    blob.ParseFromString((tmp_path / "mean.binaryproto").read_bytes())
    np.testing.assert_array_equal(np.array(io.blobproto_to_array(blob))[0], mean[0])
