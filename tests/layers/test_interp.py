"""Interp against the mean of four neighbours."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.interp import Interp
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig


class TestInterp(LayerTest):
    layer = Interp
    cases = [
        dict(height=9, width=6),
        dict(height=2, width=1),
        dict(height=7, width=4, pad_beg=-1),
        dict(height=5, width=4),
        dict(zoom_factor=2),
    ]

    def inputs(self, rng):
        return [rng.normal(size=(2, 2, 5, 4))]

    def expected(self, x, height=9, width=7, pad_beg=0, **_):
        x = x[:, :, -pad_beg:, -pad_beg:]
        y = np.zeros((2, 2, height, width))
        (h, w) = x.shape[2:]
        for p, q in np.ndindex(height, width):
            a, b = p * (h - 1) / max(height - 1, 1), q * (w - 1) / max(width - 1, 1)
            i, j = int(a), int(b)
            for row, down in ((i, 1 - a + i), (min(i + 1, h - 1), a - i)):
                for column, across in ((j, 1 - b + j), (min(j + 1, w - 1), b - j)):
                    y[:, :, p, q] += down * across * x[:, :, row, column]
        return y


@pytest.mark.parametrize("case, sizes", [
    (dict(shrink_factor=2), (4, 4)),
    (dict(zoom_factor=3), (19, 22)),
    (dict(shrink_factor=2, zoom_factor=3), (10, 10)),
    (dict(shrink_factor=2, height=3, width=3), (4, 4)),
    (dict(full_zoom_factor=2), (14, 16)),
    (dict(zoom_factor=2, pad_beg=-1, pad_end=-1), (9, 11)),
])
def test_sizes_follow_the_factors(case, sizes):
    assert Rig(Interp, case, [np.zeros((1, 1, 7, 8))]).forward()[0].shape[2:] == sizes


@pytest.mark.parametrize("case, words", [
    (dict(), "no size is given"),
    (dict(height=3), "no size is given"),
    (dict(zoom_factor=2, pad_beg=-4, pad_end=-4), "leave [-1, 0] of (7, 8)"),
    (dict(zoom_factor=2, pad_beg=1), "pad_beg: 1, must be at most 0"),
])
def test_wrong_sizes_are_refused(case, words):
    with pytest.raises(LayerForgeError) as caught:
        Rig(Interp, case, [np.zeros((1, 1, 7, 8))])
    assert words in str(caught.value)
