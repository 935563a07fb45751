"""Resizing kernels: taps along both axes, and the gradient as their transpose."""

import numpy as np
import pytest

from layerforge.backends.numpy import NumpyOps
from layerforge.core.taps import Taps, linear

OPS = NumpyOps()


def test_taps_along_both_axes_multiply():
    x, y = np.random.default_rng(0).normal(size=(2, 2, 3, 4)), np.empty((2, 2, 1, 2))
    rows = Taps(np.array([[0, 2]]), np.array([[0.25, 0.5]]))
    columns = Taps(np.array([[1], [3]]), np.array([[1.0], [2.0]]))
    OPS.resize(x, rows, columns, out=y)
    np.testing.assert_allclose(y[:, :, 0, 0], 0.25 * x[:, :, 0, 1] + 0.5 * x[:, :, 2, 1])
    np.testing.assert_allclose(y[:, :, 0, 1], 0.5 * x[:, :, 0, 3] + x[:, :, 2, 3])


@pytest.mark.parametrize("outs", [(7, 3), (2, 9), (3, 1)])
def test_the_gradient_is_the_transpose(outs):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 2, 5, 6)), rng.normal(size=(2, 2, *outs))
    y, dx = np.empty(dy.shape), np.empty(x.shape)
    taps = [linear(rng.uniform(-1, n, o), n) for n, o in zip((5, 6), outs)]
    OPS.resize(x, *taps, out=y)
    OPS.resize_gradient(dy, *taps, out=dx)
    assert (y * dy).sum() == pytest.approx((x * dx).sum())
