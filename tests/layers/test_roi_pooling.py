"""ROIPooling against bins taken one by one."""

import math

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.roi_pooling import PSROIPooling, ROIPooling
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig

REGIONS = np.array([[0, 0, 0, 4, 3], [1, 2, 1, 9, 11], [0, 5, 5, 5, 5], [1, -6, -4, 3, 3], [0, 20, 2, 26, 6]])


class TestROIPooling(LayerTest):
    layer, check_bottoms = ROIPooling, (0,)
    cases = [dict(pooled_h=2, pooled_w=3), dict(pooled_h=3, pooled_w=2, spatial_scale=0.5)]

    def inputs(self, rng):
        return [rng.permutation(2 * 2 * 7 * 6).reshape(2, 2, 7, 6) / 10, REGIONS]

    def expected(self, x, regions, pooled_h, pooled_w, spatial_scale=1.0):
        y = np.zeros((len(regions), 2, pooled_h, pooled_w))
        for r, (picture, *box) in enumerate(regions):
            left, top, right, bottom = (int(math.copysign(math.floor(abs(v * spatial_scale) + 0.5), v)) for v in box)
            high, wide = max(bottom - top + 1, 1) / pooled_h, max(right - left + 1, 1) / pooled_w
            for i, j in np.ndindex(pooled_h, pooled_w):
                rows = slice(*(min(max(n + top, 0), 7) for n in (math.floor(i * high), math.ceil((i + 1) * high))))
                columns = slice(*(min(max(n + left, 0), 6) for n in (math.floor(j * wide), math.ceil((j + 1) * wide))))
                seen = x[int(picture), :, rows, columns]
                y[r, :, i, j] = seen.max(axis=(1, 2)) if seen.size else 0
        return y


def test_the_first_of_equal_values_gets_the_gradient():
    made = Rig(ROIPooling, dict(pooled_h=1, pooled_w=1), [np.ones((1, 1, 3, 3)), np.array([[0, 1, 1, 2, 2]])])
    made.forward()
    dx = made.backward([np.ones((1, 1, 1, 1))], [True, False])[0]
    assert dx[0, 0, 1, 1] == 1 and dx.sum() == 1


def test_regions_that_overlap_add_up():
    inputs = [np.arange(9.0).reshape(1, 1, 3, 3), np.array([[0, 0, 0, 2, 2], [0, 1, 1, 2, 2]])]
    made = Rig(ROIPooling, dict(pooled_h=1, pooled_w=1), inputs)
    made.forward()
    assert made.backward([np.full((2, 1, 1, 1), 3)], [True, False])[0][0, 0, 2, 2] == 6


def test_a_region_of_a_missing_picture_is_refused():
    made = Rig(ROIPooling, dict(pooled_h=1, pooled_w=1), [np.zeros((1, 1, 3, 3)), np.array([[1, 0, 0, 2, 2]])])
    with pytest.raises(LayerForgeError, match="region 0 of bottom.1. is in picture 1 of 1"):
        made.forward()


class TestPSROIPooling(LayerTest):
    layer, check_bottoms = PSROIPooling, (0,)
    cases = [
        dict(spatial_scale=1.0, output_dim=2, group_size=2),
        dict(spatial_scale=0.5, output_dim=1, group_size=3),
    ]

    def inputs(self, rng, output_dim, group_size, **_):
        return [rng.normal(size=(2, output_dim * group_size**2, 7, 6)), REGIONS]

    def expected(self, x, regions, spatial_scale, output_dim, group_size):
        g, y = group_size, np.zeros((len(regions), output_dim, group_size, group_size))
        for r, (picture, *box) in enumerate(regions):
            left, top, right, bottom = (math.copysign(math.floor(abs(v) + 0.5), v) for v in box)
            start, size = (top * spatial_scale, left * spatial_scale), (bottom - top + 1, right - left + 1)
            step = [max(n * spatial_scale, 0.1) / g for n in size]
            for d, *at in np.ndindex(output_dim, g, g):
                rows, columns = (
                    slice(*(min(max(n, 0), most) for n in (math.floor(k * b + a), math.ceil((k + 1) * b + a))))
                    for k, b, a, most in zip(at, step, start, (7, 6))
                )
                seen = x[int(picture), (d * g + at[0]) * g + at[1], rows, columns]
                y[(r, d, *at)] = seen.mean() if seen.size else 0
        return y


def test_channels_must_fit_the_bins():
    with pytest.raises(LayerForgeError, match="ask for 8"):
        Rig(PSROIPooling, dict(spatial_scale=1.0, output_dim=2, group_size=2), [np.zeros((1, 4, 3, 3)), REGIONS])
