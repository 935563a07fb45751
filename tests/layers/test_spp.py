"""SPP against Pooling, level by level."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.pooling import Pooling
from layerforge.layers.spp import SPP
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig


class TestSPP(LayerTest):
    layer = SPP
    cases = [dict(pyramid_height=1), dict(pyramid_height=3), dict(pyramid_height=2, pool="AVE")]

    def inputs(self, rng):
        return [rng.permutation(2 * 2 * 9 * 8).reshape(2, 2, 9, 8) / 10]

    def expected(self, x, pyramid_height, pool="MAX"):
        levels = []
        for bins in (2**level for level in range(pyramid_height)):
            (kh, kw) = (-(-n // bins) for n in x.shape[2:])
            case = dict(pool=pool, kernel_h=kh, kernel_w=kw, stride_h=kh, stride_w=kw,
                        pad_h=(kh * bins - 9 + 1) // 2, pad_w=(kw * bins - 8 + 1) // 2)
            levels.append(Rig(Pooling, case, [x], dtype=np.float64).forward()[0])
        return levels[0] if pyramid_height == 1 else np.concatenate([y.reshape(2, -1) for y in levels], axis=1)


def test_a_plane_too_small_for_its_bins_is_refused():
    with pytest.raises(LayerForgeError, match="too small for 4 × 4 bins"):
        Rig(SPP, dict(pyramid_height=3), [np.zeros((1, 1, 5, 5))])
