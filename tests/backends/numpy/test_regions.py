"""Kernels that pool regions and write to places."""

import numpy as np

from layerforge.backends.numpy import NumpyOps

OPS = NumpyOps()


def test_an_empty_bin_gives_zero_and_no_place():
    x, regions = np.ones((1, 2, 3, 3)), np.array([[0, 7.0, 7.0, 9.0, 9.0]])
    y, index = np.empty((1, 2, 2, 2)), np.empty((1, 2, 2, 2), np.int32)
    OPS.roi_pool(x, np.zeros(1, np.int32), regions, 1.0, out=y, index=index)
    assert not y.any() and (index == -1).all()
    dx = np.ones(x.shape)
    OPS.roi_pool_gradient(np.ones(y.shape), np.zeros(1, np.int32), index, out=dx)
    assert not dx.any()


def test_halves_round_away_from_zero():
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    y, index = np.empty((1, 1, 1, 1)), np.empty((1, 1, 1, 1), np.int32)
    OPS.roi_pool(x, np.zeros(1, np.int32), np.array([[0, 0, 0, 1.5, 2.5]]), 1.0, out=y, index=index)
    assert index.item() == 3 * 4 + 2


def test_unpool_writes_the_last_of_equal_places():
    x, index = np.array([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3), np.array([2, 2, -1], np.int32).reshape(1, 1, 1, 3)
    y, dx = np.empty((1, 1, 2, 2)), np.empty((1, 1, 1, 3))
    OPS.unpool(x, index, out=y)
    assert y.reshape(-1).tolist() == [0, 0, 2, 0]
    OPS.unpool_gradient(np.array([5.0, 6.0, 7.0, 8.0]).reshape(1, 1, 2, 2), index, out=dx)
    assert dx.reshape(-1).tolist() == [7, 7, 0]
