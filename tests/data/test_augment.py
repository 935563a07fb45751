"""Rotation, random resized crops and colour jitter."""

from __future__ import annotations

import numpy as np
import pytest

from layerforge.core.errors import DataError
from layerforge.core.random import Random
from layerforge.data.augment import Augmenter, DistortionParams, ResizedCropParams
from layerforge.data.transform import Transformer, TransformParams
from layerforge.netdef.types import Phase


def transformer(phase=Phase.TRAIN, seed=1, mean=None, **fields):
    return Transformer(TransformParams(**fields), phase, Random(seed).stream("transform"), mean)


def once(made, x, record=0):
    out = np.empty(made.shape(*x.shape), np.float32)
    made.one(x, record, out)
    return out


def picture(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def gradient(height, width):
    """A smooth picture of three channels, so that resizing hardly changes its values."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) * 255 // (height + width)]
                    ).astype(np.uint8)


RESIZED = {"crop_size": 8, "resized_crop_param": ResizedCropParams()}
JITTER = {"distort_param": DistortionParams(
    brightness_prob=1, brightness_delta=30, contrast_prob=1, contrast_lower=0.5, contrast_upper=1.5, hue_prob=1,
    hue_delta=18, saturation_prob=1, saturation_lower=0.5, saturation_upper=1.5, random_order_prob=0.5)}


@pytest.mark.parametrize("fields", [RESIZED, JITTER, {"rotation_degrees": 30.0}, {**RESIZED, **JITTER, "mirror": True}])
def test_a_record_is_the_same_whatever_was_made_before_it(fields):
    x = picture(3, 12, 10)
    a, b = transformer(**fields), transformer(**fields)
    for record in range(5):
        once(a, x, record)
    np.testing.assert_array_equal(once(a, x, 7), once(b, x, 7))
    assert not np.array_equal(once(a, x, 7), once(a, x, 8))
    assert not np.array_equal(once(a, x, 7), once(transformer(seed=2, **fields), x, 7))


@pytest.mark.parametrize("fields", [{**RESIZED, **JITTER, "rotation_degrees": 30.0}])
def test_nothing_is_augmented_in_the_test_phase(fields):
    x = picture(3, 12, 10)
    np.testing.assert_array_equal(once(transformer(Phase.TEST, **fields), x), x[:, 2:10, 1:9])


def test_batches_are_made_record_by_record():
    made, x = transformer(**RESIZED, **JITTER), picture(4, 3, 12, 10)
    out = np.empty((4, 3, 8, 8), np.float32)
    made.batch(x, 20, out)
    for i in range(4):
        np.testing.assert_array_equal(out[i], once(made, x[i], 20 + i))


def test_resized_crops_take_pictures_of_any_size():
    made = transformer(**RESIZED)
    for size in ((3, 30, 5), (3, 4, 4), (1, 9, 40)):
        assert once(made, picture(*size)).shape == (size[0], 8, 8)


def test_windows_keep_to_the_bounds_of_area_and_aspect():
    made = Augmenter(Random(0).stream("x"), 0, ResizedCropParams(area_lower=0.2, area_upper=0.5, aspect_lower=0.5,
                                                                aspect_upper=2), 8, None)
    for record in range(200):
        rows, columns = made.window(100, 120, made.generator(record))
        h, w = rows.stop - rows.start, columns.stop - columns.start
        assert 0 <= rows.start and rows.stop <= 100 and 0 <= columns.start and columns.stop <= 120
        assert 0.19 < h * w / 12000 < 0.51 and 0.48 < w / h < 2.1


def test_a_window_that_never_fits_is_the_largest_in_the_middle():
    made = Augmenter(Random(0).stream("x"), 0, ResizedCropParams(area_lower=1, aspect_lower=1, aspect_upper=1), 8, None)
    assert made.window(10, 30, made.generator(0)) == (slice(0, 10), slice(10, 20))


def test_whole_windows_of_one_size_change_nothing():
    crop = ResizedCropParams(area_lower=1, aspect_lower=1, aspect_upper=1)
    x = picture(3, 8, 8)
    np.testing.assert_array_equal(once(transformer(crop_size=8, resized_crop_param=crop), x), x)


def test_the_mean_picture_goes_along_with_turn_and_window():
    x = gradient(40, 50)
    made = transformer(mean=x.astype(np.float32), mean_file="mean", rotation_degrees=20.0, mirror=True, **RESIZED)
    for record in range(8):
        assert np.abs(once(made, x, record)).max() <= 1  # bytes are rounded, the mean is not


def test_rotation_moves_what_lies_off_the_middle():
    x = np.zeros((1, 9, 9), np.uint8)
    x[0, 4, 1], x[0, 4, 4] = 200, 100
    made = Augmenter(Random(0).stream("x"), 90, None, 0, None)
    turned = made.turn(np.ascontiguousarray(x.transpose(1, 2, 0)), 90.0)[:, :, 0]
    assert turned[4, 4] == 100 and turned[7, 4] == 200 and turned[4, 1] == 0


def jitter(x, **fields):
    made = Augmenter(Random(3).stream("x"), 0, None, 0, DistortionParams(**fields))
    return [made.colour(x, made.generator(record)) for record in range(50)]


def test_brightness_shifts_all_values_by_one_number():
    x = np.full((4, 4, 3), 100, np.uint8)
    values = np.array([y[0, 0, 0] for y in jitter(x, brightness_prob=1, brightness_delta=20)], int)
    assert all(len(np.unique(y)) == 1 for y in jitter(x, brightness_prob=1, brightness_delta=20))
    assert 80 <= values.min() < 90 and 110 < values.max() <= 120


def test_contrast_multiplies_and_stops_at_255():
    x = np.full((4, 4, 1), 200, np.uint8)
    values = [int(y[0, 0, 0]) for y in jitter(x, contrast_prob=1, contrast_lower=0.5, contrast_upper=2)]
    assert min(values) >= 100 and max(values) == 255


def test_saturation_0_makes_gray_and_hue_keeps_gray():
    x = picture(6, 6, 3)
    for y in jitter(x, saturation_prob=1):
        assert np.ptp(y.astype(int), axis=2).max() == 0
    gray = np.repeat(picture(6, 6, 1), 3, 2)
    for y in jitter(gray, hue_prob=1, hue_delta=90):
        np.testing.assert_array_equal(y, gray)


def test_channels_change_places_as_often_as_told():
    x = np.broadcast_to(np.array([1, 2, 3], np.uint8), (2, 2, 3))
    changed = sum(y[0, 0].tolist() != [1, 2, 3] for y in jitter(x, random_order_prob=1))
    assert 30 < changed < 50  # one order of six is the old one
    assert all(sorted(y[0, 0].tolist()) == [1, 2, 3] for y in jitter(x, random_order_prob=1))


def test_with_probability_0_nothing_changes():
    x = picture(5, 5, 3)
    for y in jitter(x, brightness_delta=50, hue_delta=90):
        np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize(("fields", "message"), [
    ({"resized_crop_param": ResizedCropParams()}, "needs a crop_size"),
    ({"crop_size": 4, "resized_crop_param": ResizedCropParams(area_lower=0.9, area_upper=0.5)}, "upper: 0.5 is below"),
    ({"crop_size": 4, "resized_crop_param": ResizedCropParams(aspect_lower=2)}, "aspect_upper: 1.33333 is below"),
    ({"distort_param": DistortionParams(contrast_prob=1, contrast_lower=1)}, "contrast_upper: 0 is below")])
def test_bounds_that_contradict_one_another_are_errors(fields, message):
    with pytest.raises(DataError, match=message):
        transformer(**fields)


def test_colours_of_floats_are_refused():
    with pytest.raises(DataError, match="pictures of bytes"):
        once(transformer(**JITTER), np.zeros((3, 4, 4), np.float32))


def test_more_than_four_channels_are_refused():
    with pytest.raises(DataError, match="at most 4 channels"):
        once(transformer(**RESIZED), np.zeros((5, 9, 9), np.uint8))
