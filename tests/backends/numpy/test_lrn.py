"""LRN kernels of NumPy against the formula, channel by channel."""

import numpy as np
import pytest

from layerforge.backends.numpy import NumpyOps

OPS = NumpyOps()


def reference(x, size, alpha, beta, k):
    near = [slice(max(0, c - size // 2), c + size // 2 + 1) for c in range(x.shape[1])]
    scale = np.stack([k + alpha / size * (x[:, part] ** 2).sum(axis=1) for part in near], axis=1)
    return x * scale**-beta, scale


@pytest.mark.parametrize("size, beta", [(5, 0.75), (3, 0.5), (11, 0.75), (1, 0.9)])
def test_lrn_equals_the_formula_and_its_numeric_gradient(size, beta):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 4, 3, 2)), rng.normal(size=(2, 4, 3, 2))
    y, scale, dx = np.empty(x.shape), np.empty(x.shape), np.empty(x.shape)
    OPS.lrn(x, size=size, alpha=0.7, beta=beta, k=2.0, out=y, scale=scale)
    OPS.lrn_gradient(dy, x, scale, size=size, alpha=0.7, beta=beta, out=dx)
    want, want_scale = reference(x, size, 0.7, beta, 2.0)
    np.testing.assert_allclose(y, want, rtol=1e-12)
    np.testing.assert_allclose(scale, want_scale, rtol=1e-12)
    step = 1e-6
    for at in np.ndindex(*x.shape):
        moved = x.copy()
        moved[at] += step
        up = (reference(moved, size, 0.7, beta, 2.0)[0] * dy).sum()
        moved[at] -= 2 * step
        down = (reference(moved, size, 0.7, beta, 2.0)[0] * dy).sum()
        assert dx[at] == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-7)
