"""ROIPooling against bins taken one by one."""

import math

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.roi_pooling import ROIPooling
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
