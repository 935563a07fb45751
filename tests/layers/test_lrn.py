"""LRN against its two formulas."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.lrn import LRN
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig


class TestLRN(LayerTest):
    layer = LRN
    cases = [
        dict(alpha=0.5),
        dict(local_size=3, alpha=0.3, beta=0.6, k=2.0),
        dict(local_size=9),
        dict(local_size=3, alpha=0.5, norm_region="WITHIN_CHANNEL"),
        dict(local_size=5, beta=0.4, k=7.0, norm_region="WITHIN_CHANNEL"),
    ]

    def inputs(self, rng):
        return [rng.normal(size=(2, 4, 3, 5))]

    def expected(self, x, local_size=5, alpha=1.0, beta=0.75, k=1.0, norm_region="ACROSS_CHANNELS"):
        half, total = local_size // 2, np.zeros(x.shape)
        if norm_region == "ACROSS_CHANNELS":
            for c in range(4):
                total[:, c] = (x[:, max(0, c - half) : c + half + 1] ** 2).sum(axis=1)
            return x * (k + alpha / local_size * total) ** -beta
        for p, q in np.ndindex(3, 5):
            near = slice(max(0, p - half), p + half + 1), slice(max(0, q - half), q + half + 1)
            total[:, :, p, q] = (x[(..., *near)] ** 2).sum(axis=(2, 3))
        return x * (1 + alpha / local_size**2 * total) ** -beta


def test_an_even_local_size_is_refused():
    with pytest.raises(LayerForgeError, match="local_size: 4, must be odd"):
        Rig(LRN, dict(local_size=4), [np.zeros((1, 2, 3, 3))])
