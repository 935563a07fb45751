"""Sums of channels of the CuPy backend against NumPy's."""

import numpy as np
import pytest

SHAPES = [(2, 3, 40), (5, 70, 1), (4, 1, 3000), (3, 2, 9000), (1, 1, 1), (6, 33, 4), (9000, 3, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_sums_and_products_agree(both, shape):
    rng = np.random.default_rng(1)
    a, b = both.draw(rng, *shape), both.draw(rng, *shape)
    both.compare("channel_sum", a, out=both.draw(rng, shape[1]))
    both.compare("channel_sum", a, acc=both.draw(rng, shape[1]))
    both.compare("channel_dot", a, b, out=both.draw(rng, shape[1]))
    both.compare("channel_dot", a, b, acc=both.draw(rng, shape[1]))


def test_sums_in_double_of_floats(both):
    rng = np.random.default_rng(2)
    both.compare("channel_sum", both.draw(rng, 2, 3, 500), out=np.empty(3))
    both.compare("channel_dot", both.draw(rng, 2, 3, 5000), both.draw(rng, 2, 3, 5000), acc=np.ones(3))


def test_long_sums_lose_no_digits(both):
    x = both.on_device(np.full((1, 1, 1 << 18), 0.1, both.real))
    out = both.on_device(np.empty(1))
    both.ops.channel_sum(x, out=out)
    assert both.on_host(out)[0] == pytest.approx((1 << 18) * float(both.real.type(0.1)), rel=1e-12)


def test_empty_batch_sums_to_zero(both):
    both.compare("channel_sum", np.empty((0, 3, 5), both.real), out=np.ones(3, both.real))
    both.compare("channel_dot", *[np.empty((0, 3, 5), both.real)] * 2, acc=np.ones(3, both.real))
