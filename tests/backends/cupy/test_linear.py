"""Matrix products of the CuPy backend against NumPy's."""

import numpy as np
import pytest


@pytest.mark.parametrize("trans_a", [False, True])
@pytest.mark.parametrize("trans_b", [False, True])
def test_products_of_any_shape_agree(both, trans_a, trans_b):
    rng = np.random.default_rng(1)
    for _ in range(12):
        m, n, k = rng.integers(1, 90, 3)
        a = both.draw(rng, *((k, m) if trans_a else (m, k)))
        b = both.draw(rng, *((n, k) if trans_b else (k, n)))
        both.compare("matmul", a, b, trans_a=trans_a, trans_b=trans_b, out=both.draw(rng, m, n))
        both.compare("matmul", a, b, trans_a=trans_a, trans_b=trans_b, acc=both.draw(rng, m, n))


@pytest.mark.parametrize("batch_a, batch_b", [(3, 3), (1, 3), (3, 1), (0, 3), (3, 0)])
def test_batches_are_repeated(both, batch_a, batch_b):
    rng = np.random.default_rng(2)
    a = both.draw(rng, *[batch_a] * (batch_a > 0), 7, 20)
    b = both.draw(rng, *[batch_b] * (batch_b > 0), 20, 70)
    both.compare("matmul", a, b, out=both.draw(rng, 3, 7, 70))
    both.compare("matmul", a, b, acc=both.draw(rng, 3, 7, 70))


def test_product_over_nothing_is_zero(both):
    both.compare("matmul", np.empty((3, 0), both.real), np.empty((0, 4), both.real), out=np.full((3, 4), 7, both.real))


def test_product_without_rows_does_nothing(both):
    both.compare("matmul", np.empty((0, 3), both.real), np.empty((3, 4), both.real), out=np.empty((0, 4), both.real))


@pytest.mark.parametrize(
    "shape, axis", [((5, 70), 1), ((5, 3, 4, 6), 1), ((2, 3, 33), 2), ((600, 2), 1), ((4,), 0), ((1, 1, 1500), 1)]
)
def test_bias_and_its_gradient_agree(both, shape, axis):
    rng = np.random.default_rng(3)
    both.compare("add_bias", both.draw(rng, *shape), both.draw(rng, shape[axis]), axis=axis)
    both.compare("bias_gradient", both.draw(rng, *shape), both.draw(rng, shape[axis]), axis=axis)


def test_bias_of_an_empty_batch_changes_nothing(both):
    y = np.empty((0, 3), both.real)
    both.compare("add_bias", y, np.ones(3, both.real))
    both.compare("bias_gradient", y, np.ones(3, both.real))
