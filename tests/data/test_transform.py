"""Crop, mirror, mean and scale."""

import numpy as np
import pytest

from layerforge.core.errors import DataError
from layerforge.core.random import Random
from layerforge.data.transform import TransformParams, make_transformer
from layerforge.netdef.types import Phase


def transformer(phase=Phase.TEST, mean=None, seed=1, dtype=np.float32, **params):
    stream = Random(seed).stream("transform")
    return make_transformer(TransformParams(**params), phase, stream, lambda name: mean, dtype)


def apply(t, x, record=0):
    out = np.empty((len(x), *t.shape(*x.shape[1:])), t.dtype)
    t.batch(x, record, out)
    return out


def batch(n=3, c=2, h=7, w=6):
    return np.random.default_rng(0).integers(0, 256, (n, c, h, w), np.uint8)


def test_the_centre_is_rounded_down():
    x = batch(h=7, w=6)
    np.testing.assert_array_equal(apply(transformer(crop_size=4), x), x[:, :, 1:5, 1:5])


def test_the_mean_goes_before_the_scale():
    x = batch()
    mean = np.array([10, 20], np.float32)[:, None, None]
    got = apply(transformer(scale=0.5, mean_value=(10.0, 20.0)), x)
    np.testing.assert_array_equal(got, (x - mean) * np.float32(0.5))


def test_a_mean_file_is_cropped_along():
    x = batch()
    mean = np.random.default_rng(2).random(x.shape[1:], np.float32)
    got = apply(transformer(mean=mean, mean_file="m", crop_size=4), x)
    np.testing.assert_array_equal(got, (x - mean)[:, :, 1:5, 1:5])


def test_random_views_subtract_the_same_view_of_the_mean():
    x = np.repeat(batch(1), 40, axis=0)
    t = transformer(Phase.TRAIN, mean=x[0].astype(np.float32), mean_file="m", crop_size=4, mirror=True)
    assert not apply(t, x).any()


def test_draws_belong_to_the_record():
    x = batch(30)
    t = transformer(Phase.TRAIN, crop_size=4, mirror=True)
    whole = apply(t, x, 1010)  # over the border of a block of draws
    for i in (0, 13, 14, 29):
        np.testing.assert_array_equal(apply(t, x[i : i + 1], 1010 + i)[0], whole[i])
    assert (apply(transformer(Phase.TRAIN, seed=2, crop_size=4, mirror=True), x, 1010) != whole).any()


def test_crops_reach_every_place_and_mirror_half():
    t = transformer(Phase.TRAIN, crop_size=4, mirror=True)
    draws = [t.draw(record, 3, 2) for record in range(2000)]
    assert {top for top, _, _ in draws} == {0, 1, 2, 3} and {left for _, left, _ in draws} == {0, 1, 2}
    assert 0.45 < np.mean([mirrored for _, _, mirrored in draws]) < 0.55


def test_mirroring_happens_in_both_phases():
    x = np.repeat(batch(1), 40, axis=0)
    got = apply(transformer(Phase.TEST, mirror=True), x)
    mirrored = [np.array_equal(y, x[0][:, :, ::-1]) for y in got]
    assert any(mirrored) and not all(mirrored)
    assert all(m or np.array_equal(y, x[0]) for m, y in zip(mirrored, got))


def test_doubles_are_made_as_doubles():
    assert apply(transformer(dtype=np.float64, scale=0.1), batch()).dtype == np.float64


@pytest.mark.parametrize("params, message", [
    ({"crop_size": 8}, "crop_size: 8, but the picture has 7 × 6 pixels"),
    ({"mean_value": (1.0, 2.0, 3.0)}, "mean_value is given 3 times for 2 channels"),
    ({"mean_file": "m", "mean": np.zeros((2, 9, 9))}, "the mean in 'm' is 2 × 9 × 9, the picture 2 × 7 × 6"),
    ({"mean_file": "m", "mean_value": (1.0,)}, "mean_file and mean_value are both given"),
    ({"force_color": True, "force_gray": True}, "force_color and force_gray are both set"),
])
def test_what_does_not_fit_is_refused(params, message):
    with pytest.raises(DataError, match=message):
        apply(transformer(**params), batch())
