"""Position-sensitive pooling on the CuPy backend against NumPy's."""

import numpy as np
import pytest


@pytest.mark.parametrize("bins, scale", [(3, 0.25), (2, 1 / 16), (1, 1.0), (7, 0.5)])
def test_pooled_regions_and_their_gradient_agree(both, bins, scale):
    rng = np.random.default_rng(1)
    corners = rng.uniform(-8, 60, (6, 2, 2))
    corners.sort(axis=1)
    corners[0] = 20.5  # one value, a half
    regions = np.concatenate([np.zeros((6, 1)), corners.reshape(6, 4)], axis=1).astype(both.real)
    batch = rng.integers(0, 2, 6).astype(np.int32)
    x, y = both.draw(rng, 2, 2 * bins * bins, 9, 12), np.empty((6, 2, bins, bins), both.real)
    both.compare("ps_roi_pool", x, batch, regions, scale, out=y)
    both.compare("ps_roi_pool_gradient", both.draw(rng, *y.shape), batch, regions, scale, out=np.empty_like(x))
