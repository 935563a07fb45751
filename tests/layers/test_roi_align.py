"""ROIAlign against its formula, point by point."""

import math

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.roi_align import ROIAlign
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig

REGIONS = np.array(
    [[0, 0.3, 0.2, 4.1, 3.2], [1, 2.2, 1.1, 4.4, 5.3], [0, 4.2, 3.1, 4.2, 5.1], [1, 20.0, 2.0, 26.0, 6.0]]
)


class TestROIAlign(LayerTest):
    layer, check_bottoms = ROIAlign, (0,)
    cases = [dict(pooled_h=2, pooled_w=3), dict(pooled_h=3, pooled_w=2, spatial_scale=0.5)]

    def inputs(self, rng):
        return [rng.permutation(2 * 2 * 7 * 6).reshape(2, 2, 7, 6) / 10 - 3, REGIONS]

    def expected(self, x, regions, pooled_h, pooled_w, spatial_scale=1.0):
        y = np.zeros((len(regions), 2, pooled_h, pooled_w))
        for r, (picture, *box) in enumerate(regions):
            left, top, right, bottom = (n * spatial_scale for n in box)
            high, wide = max(bottom - top + 1, 1) / pooled_h, max(right - left + 1, 1) / pooled_w
            for i, j in np.ndindex(pooled_h, pooled_w):
                h0, h1 = (min(max(n * high + top, 0), 7) for n in (i, i + 1))
                w0, w1 = (min(max(n * wide + left, 0), 6) for n in (j, j + 1))
                rows, columns = (range(math.ceil(a), math.floor(b) + 1) for a, b in ((h0, h1), (w0, w1)))
                points = [(h, w) for h in rows for w in columns][:4]
                best = np.full(2, 0.0 if h1 <= h0 or w1 <= w0 else -np.inf)
                for sample in ((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)):
                    total = np.zeros(2)
                    for h, w in points:
                        if h < 7 and w < 6:
                            v, u = self.within(h, top, bottom), self.within(w, left, right)
                            total += max(0, 1 - abs(sample[0] - v)) * max(0, 1 - abs(sample[1] - u)) * x[
                                int(picture), :, h, w]
                    best = np.maximum(best, total)
                y[r, :, i, j] = best
        return y

    @staticmethod
    def within(place, low, high):
        return 0 if high == low else min(max(2 * (place - low) / (high - low) - 1, -1), 1)


def test_a_region_of_a_missing_picture_is_refused():
    made = Rig(ROIAlign, dict(pooled_h=1, pooled_w=1), [np.zeros((1, 1, 3, 3)), np.array([[1, 0, 0, 2, 2]])])
    with pytest.raises(LayerForgeError, match="region 0 of bottom.1. is in picture 1 of 1"):
        made.forward()


def test_regions_of_other_shapes_are_refused():
    with pytest.raises(LayerForgeError, match="expected .R, 5."):
        Rig(ROIAlign, dict(pooled_h=1, pooled_w=1), [np.zeros((1, 1, 3, 3)), np.zeros((2, 4))])
