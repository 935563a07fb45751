"""Softmax kernels of NumPy against their formulas."""

import numpy as np
import pytest

from layerforge.backends.numpy import NumpyOps

OPS = NumpyOps()


@pytest.mark.parametrize("shape", [(3, 5, 1), (2, 4, 3), (1, 1, 1), (0, 3, 2)])
def test_softmax_and_its_gradient_work_in_place(shape):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=shape), rng.normal(size=shape)
    want = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    OPS.softmax(x, out=x)
    np.testing.assert_allclose(x, want)
    want = x * (dy - (dy * x).sum(axis=1, keepdims=True))
    OPS.softmax_gradient(x, dy, out=dy)
    np.testing.assert_allclose(dy, want)
