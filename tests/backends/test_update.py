"""The kernels of the update rules: whole arrays, any size, in place."""

import numpy as np
import pytest

from layerforge.backends import get_backend
from layerforge.backends.numpy.update import BLOCK

ops = get_backend("numpy").ops


@pytest.mark.parametrize("count", [1, 7, BLOCK - 1, BLOCK, 2 * BLOCK + 3])
def test_every_block_of_a_parameter_is_updated_once(count):
    w, g, h = np.zeros(count), np.ones(count), np.full(count, 2.0)
    ops.update_sgd(w, g, h, lr=0.5, momentum=0.25)
    assert (w == -1).all() and (h == 1).all()


def test_the_gradient_ends_as_what_was_subtracted():
    rng = np.random.default_rng(0)
    before = rng.normal(size=(3, 4))
    w, g, m, v = before.copy(), rng.normal(size=(3, 4)), np.zeros((3, 4)), np.zeros((3, 4))
    ops.update_adam(w, g, m, v, lr=0.1, correction=0.5, beta1=0.9, beta2=0.99, delta=1e-8)
    np.testing.assert_array_equal(w, before - g)


def test_float32_parameters_stay_float32():
    w, g, h = (np.ones(5, np.float32) for _ in range(3))
    ops.update_nesterov(w, g, h, lr=0.1, momentum=0.9, scale=0.3, l2=0.01)
    assert w.dtype == g.dtype == h.dtype == np.float32


def test_sum_of_squares_runs_over_all_arrays():
    assert ops.sum_of_squares([np.array([1.0, 2.0]), np.array([[3.0]])]) == 14


def test_rate_of_lars_follows_from_the_norms():
    w, g, h = np.array([3.0, 4.0]), np.array([0.0, 2.0]), np.zeros(2)
    ops.update_lars(w, g, h, lr=0.5, momentum=0.9, eta=0.2, scale=0.5, l2=0.2)
    np.testing.assert_allclose(h, 0.5 * (0.2 * 5 / (0.5 * 2 + 0.2 * 5)) * (np.array([0, 1.0]) + 0.2 * np.array([3, 4])))
