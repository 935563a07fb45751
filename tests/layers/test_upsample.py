"""Upsample in both forms."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.upsample import Upsample, UpsampleDarknet
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig


class TestUpsampleNearest(LayerTest):
    layer = Upsample
    cases = [dict(), dict(scale=3), dict(scale_h=1, scale_w=2)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 2, 3))]

    def expected(self, x, scale=2, scale_h=None, scale_w=None):
        return x.repeat(scale_h or scale, axis=2).repeat(scale_w or scale, axis=3)


class TestUpsampleDarknet(LayerTest):
    layer = UpsampleDarknet
    cases = [dict(), dict(stride=2)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 2, 3))]

    def expected(self, x, stride=1):
        return x.repeat(stride, axis=2).repeat(stride, axis=3)


class TestUpsampleByMask(LayerTest):
    layer, check_bottoms = Upsample, (0,)
    cases = [
        dict(scale=2),
        dict(scale=2, pad_out_h=True, pad_out_w=True),
        dict(upsample_h=7, upsample_w=2),
    ]

    def inputs(self, rng, **_):
        mask = np.stack([rng.permutation(14)[:6] for _ in range(4)])
        return [rng.normal(size=(2, 2, 2, 3)), mask.reshape(2, 2, 2, 3)]

    def expected(self, x, mask, scale=2, pad_out_h=False, pad_out_w=False, upsample_h=None, upsample_w=None):
        y = np.zeros((2, 2, upsample_h or 4 - pad_out_h, upsample_w or 6 - pad_out_w))
        for n, c, p, q in np.ndindex(*x.shape):
            y[n, c].reshape(-1)[int(mask[n, c, p, q])] = x[n, c, p, q]
        return y


def test_of_equal_places_the_last_value_stays():
    x, mask = np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 2, 2), np.array([5.0, 5.0, 0.0, -1.0]).reshape(1, 1, 2, 2)
    y = Rig(Upsample, {}, [x, mask]).forward()[0]
    assert y[0, 0, 1, 1] == 2 and y[0, 0, 0, 0] == 3 and y.sum() == 5


def test_a_mask_beyond_the_plane_is_refused():
    made = Rig(Upsample, {}, [np.zeros((1, 1, 1, 1)), np.full((1, 1, 1, 1), 4)])
    with pytest.raises(LayerForgeError, match="the mask holds 4"):
        made.forward()


@pytest.mark.parametrize("case", [
    dict(upsample_h=3, upsample_w=3), dict(pad_out_h=True), dict(scale_h=2), dict(upsample_h=3),
])
def test_wrong_sizes_are_refused(case):
    with pytest.raises(LayerForgeError):
        Rig(Upsample, case, [np.zeros((1, 1, 2, 2))])
