"""Accum against its formula: every bottom resized with aligned corners, channels side by side."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.accum import Accum
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig


def resized(x, high, wide):
    """(N, C, high, wide), corners aligned."""
    y = np.zeros((*x.shape[:2], high, wide))
    for p, q in np.ndindex(high, wide):
        a, b = p * (x.shape[2] - 1) / max(high - 1, 1), q * (x.shape[3] - 1) / max(wide - 1, 1)
        i, j = int(a), int(b)
        k, m = min(i + 1, x.shape[2] - 1), min(j + 1, x.shape[3] - 1)
        upper = x[:, :, i, j] * (1 - b + j) + x[:, :, i, m] * (b - j)
        y[:, :, p, q] = upper * (1 - a + i) + (x[:, :, k, j] * (1 - b + j) + x[:, :, k, m] * (b - j)) * (a - i)
    return y


class TestAccum(LayerTest):
    layer = Accum
    cases = [
        {}, dict(have_reference=True), dict(top_height=9, top_width=7), dict(top_height=9, top_width=2),
        dict(size_divisible_by=4),
    ]

    def inputs(self, rng):
        return [rng.normal(size=(2, c, h, w)) for c, h, w in ((2, 3, 2), (1, 5, 4), (3, 1, 6))]

    def expected(self, a, b, c, have_reference=False, top_height=0, top_width=0, size_divisible_by=0):
        if have_reference:
            return np.concatenate([resized(x, 1, 6) for x in (a, b)], axis=1)
        sides = (9, 7) if (top_height, top_width) == (9, 7) else (8, 8) if size_divisible_by else (5, 6)
        return np.concatenate([resized(x, *sides) for x in (a, b, c)], axis=1)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([(2, 1, 3, 3), (1, 1, 3, 3)], "first axes must agree"),
        ([(2, 1, 3)], "needs 4 axes"),
    ],
)
def test_maps_of_other_pictures_are_refused(shapes, words):
    with pytest.raises(LayerForgeError, match=words):
        Rig(Accum, {}, [np.zeros(shape) for shape in shapes])


def test_a_reference_alone_is_refused():
    with pytest.raises(LayerForgeError, match="needs a bottom before it"):
        Rig(Accum, dict(have_reference=True), [np.zeros((1, 1, 2, 2))])
