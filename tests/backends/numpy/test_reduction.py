"""Sums and largest values of NumPy."""

import numpy as np
import pytest

from layerforge.backends.numpy import NumpyOps
from layerforge.backends.numpy.reduction import BLOCK

OPS = NumpyOps()


@pytest.mark.parametrize("width", [0, 1, BLOCK - 1, BLOCK, 3 * BLOCK + 5])
def test_row_dot_and_row_sum_lose_no_digits(width):
    rng = np.random.default_rng(0)
    a, b = rng.random((3, width)).astype(np.float32), rng.random((3, width)).astype(np.float32)
    out = np.empty(3)
    OPS.row_dot(a, b, out=out)
    np.testing.assert_allclose(out, (a.astype(float) * b).sum(axis=1), rtol=1e-6)
    OPS.row_sum(a, out=out)
    np.testing.assert_allclose(out, a.sum(axis=1, dtype=float), rtol=1e-6)


@pytest.mark.parametrize("smallest", [False, True])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_sorts_equal_values_by_index(k, smallest):
    x = np.random.default_rng(0).integers(0, 3, size=(4, 5, 3)).astype(np.float32)
    index, values = np.empty((4, k, 3), np.int32), np.empty((4, k, 3), np.float32)
    OPS.top_k(x, index=index, values=values, smallest=smallest)
    for n, c in np.ndindex(4, 3):
        order = sorted(range(5), key=lambda i: (x[n, i, c], i), reverse=not smallest)[:k]
        assert index[n, :, c].tolist() == order
        assert values[n, :, c].tolist() == [x[n, i, c] for i in order]
