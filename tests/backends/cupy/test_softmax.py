"""Softmax of the CuPy backend against NumPy's."""

import numpy as np
import pytest

SHAPES = [(3, 5, 1), (2, 10, 7), (1, 1, 1), (4, 1000, 1), (2, 3, 100), (40, 2, 1), (1, 60, 133)]


@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_and_its_gradient_agree(both, shape):
    rng = np.random.default_rng(1)
    x = 3 * both.draw(rng, *shape)
    y = np.empty_like(x)
    both.compare("softmax", x, out=y)
    both.compare("softmax_gradient", y, both.draw(rng, *shape), out=np.empty_like(x))


def test_large_values_do_not_overflow(both):
    both.compare(
        "softmax", np.array([1e4, 1e4 - 1, -1e4], both.real).reshape(1, 3, 1), out=np.empty((1, 3, 1), both.real)
    )


def test_out_may_be_the_input(both):
    rng = np.random.default_rng(2)
    x = both.on_device(both.draw(rng, 2, 6, 40))
    apart = both.ops.xp.empty_like(x)
    both.ops.softmax(x, out=apart)
    both.ops.softmax(x, out=x)
    np.testing.assert_array_equal(both.on_host(x), both.on_host(apart))


def test_nan_fills_its_column(both):
    x = both.draw(np.random.default_rng(3), 1, 6, 40)
    x[0, 3, 5] = np.nan
    both.compare("softmax", x, out=np.empty_like(x))


def test_empty_arrays_are_left_alone(both):
    for shape in ((0, 3, 2), (3, 2, 0)):
        both.compare("softmax", np.empty(shape, both.real), out=np.empty(shape, both.real))
