"""Sums of rows and largest values of the CuPy backend against NumPy's."""

import numpy as np
import pytest


@pytest.mark.parametrize("shape", [(3, 40), (1, 20000), (300, 1), (2, 5000), (5, 1)])
def test_sums_of_rows_agree(both, shape):
    rng = np.random.default_rng(1)
    a, b = both.draw(rng, *shape), both.draw(rng, *shape)
    both.compare("row_dot", a, b, out=np.empty(shape[0], both.real))
    both.compare("row_sum", a, out=np.empty(shape[0], both.real))


@pytest.mark.parametrize("shape", [(3, 10, 1), (2, 7, 5), (1, 300, 1), (2, 40, 33), (4, 1, 1)])
@pytest.mark.parametrize("smallest", [False, True])
def test_largest_values_and_their_places_agree(both, shape, smallest):
    rng = np.random.default_rng(2)
    x = np.round(2 * both.draw(rng, *shape))  # equal values
    for k in {1, min(5, shape[1]), shape[1] if shape[1] < 50 else 8}:
        found = (shape[0], k, shape[2])
        index, values = np.empty(found, np.int32), np.empty(found, both.real)
        both.compare("top_k", x, index=index, values=values, smallest=smallest)


def test_nan_comes_before_all_numbers(both):
    x = np.array([1, np.nan, 3, np.nan], both.real).reshape(1, 4, 1)
    both.compare("top_k", x, index=np.empty((1, 3, 1), np.int32), values=np.empty((1, 3, 1), both.real))
