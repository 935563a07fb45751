"""Regions and places on the CuPy backend against NumPy's."""

import numpy as np
import pytest


@pytest.mark.parametrize("down, across, scale", [(7, 7, 0.25), (2, 3, 1.0), (1, 1, 0.1), (20, 17, 0.5)])
def test_pooled_regions_and_their_gradient_agree(both, down, across, scale):
    rng = np.random.default_rng(1)
    x = np.round(2 * both.draw(rng, 2, 3, 9, 12))
    corners = rng.uniform(-8, 60, (6, 2, 2))
    corners.sort(axis=1)
    corners[0] = 20  # one value
    regions = np.concatenate([np.zeros((6, 1)), corners.reshape(6, 4)], axis=1).astype(both.real)
    batch = rng.integers(0, 2, 6).astype(np.int32)
    y, index = np.empty((6, 3, down, across), both.real), np.empty((6, 3, down, across), np.int32)
    both.compare("roi_pool", x, batch, regions, scale, out=y, index=index)
    both.compare("roi_pool_gradient", both.draw(rng, *y.shape), batch, index, out=np.empty_like(x))


def test_region_of_a_bad_picture_gives_nan(both):
    y, index = (both.on_device(np.zeros((1, 1, 1, 1), kind)) for kind in (both.real, np.int32))
    batch, regions = np.array([-(2**31)], np.int32), np.array([[9, 0, 0, 1, 1]], both.real)
    x = np.ones((1, 1, 2, 2), both.real)
    both.ops.roi_pool(*map(both.on_device, (x, batch, regions)), 1.0, out=y, index=index)
    assert np.isnan(both.on_host(y)).all() and (both.on_host(index) == -1).all()


@pytest.mark.parametrize("size", [(6, 8), (3, 4)])
def test_unpooling_and_its_gradient_agree(both, size):
    rng = np.random.default_rng(2)
    index = rng.integers(-1, size[0] * size[1], (2, 3, 4, 5)).astype(np.int32)  # also equal places
    both.compare("unpool", both.draw(rng, 2, 3, 4, 5), index, out=both.draw(rng, 2, 3, *size))
    both.compare("unpool_gradient", both.draw(rng, 2, 3, *size), index, out=both.draw(rng, 2, 3, 4, 5))
