"""Bilinear kernels: places, and the gradient as their transpose."""

import numpy as np
import pytest

from layerforge.backends.numpy import NumpyOps

OPS = NumpyOps()


def test_corners_are_aligned():
    y = np.empty((1, 1, 5, 3))
    OPS.bilinear(np.array([0.0, 4.0, 8.0, 12.0]).reshape(1, 1, 2, 2), 0, 0, out=y)
    np.testing.assert_allclose(y[0, 0], np.arange(5)[:, None] * 2 + np.arange(3) * 2)


def test_the_same_size_is_a_copy():
    x, y = np.random.default_rng(0).normal(size=(2, 3, 4, 5)), np.empty((2, 3, 4, 5))
    OPS.bilinear(x, 0, 0, out=y)
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("begin, end, outs", [(0, 0, (7, 3)), (1, 0, (2, 9)), (1, 2, (3, 1))])
def test_the_gradient_is_the_transpose(begin, end, outs):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 2, 5, 6)), rng.normal(size=(2, 2, *outs))
    y, dx = np.empty(dy.shape), np.empty(x.shape)
    OPS.bilinear(x, begin, end, out=y)
    OPS.bilinear_gradient(dy, begin, end, out=dx)
    assert (y * dy).sum() == pytest.approx((x * dx).sum())
    assert not dx[:, :, :begin].any() and not dx[:, :, :, 6 - end :].any()
