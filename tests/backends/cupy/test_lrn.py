"""Local response normalisation of the CuPy backend against NumPy's."""

import numpy as np
import pytest


@pytest.mark.parametrize("shape", [(2, 7, 3, 4), (1, 2, 5, 5), (3, 1, 2, 2), (2, 33, 6, 1)])
@pytest.mark.parametrize("size, beta", [(5, 0.75), (3, 0.5), (1, 1.0)])
def test_normalisation_and_its_gradient_agree(both, shape, size, beta):
    rng = np.random.default_rng(1)
    numbers = dict(size=size, alpha=0.3, beta=beta)
    x, y, scale = both.draw(rng, *shape), np.empty(shape, both.real), np.empty(shape, both.real)
    both.compare("lrn", x, **numbers, k=2.0, out=y, scale=scale)
    both.compare("lrn_gradient", both.draw(rng, *shape), x, scale, **numbers, out=np.empty_like(x))


def test_empty_batch_is_left_alone(both):
    x = np.empty((0, 3, 2, 2), both.real)
    both.compare("lrn", x, size=3, alpha=1.0, beta=0.75, k=1.0, out=x.copy(), scale=x.copy())
