"""Correlation and warping on the CuPy backend against NumPy's."""

import numpy as np
import pytest


@pytest.mark.parametrize("subtract", [False, True])
@pytest.mark.parametrize(
    "pad, kernel, reach, stride, step", [(2, 1, 2, 1, 1), (3, 3, 2, 2, 1), (4, 3, 4, 1, 2), (0, 1, 1, 2, 1)]
)
def test_correlation_and_its_gradients_agree(both, pad, kernel, reach, stride, step, subtract):
    rng = np.random.default_rng(1)
    numbers = dict(pad=pad, kernel=kernel, reach=reach, stride=stride, step=step, subtract=subtract)
    a, b = (np.round(both.draw(rng, 2, 3, 7, 8)) for _ in range(2))  # equal values, where |a - b| has a kink
    outs = [-(-(n + 2 * pad - 2 * (reach + kernel // 2)) // stride) for n in (7, 8)]
    y = both.draw(rng, 2, (2 * (reach // step) + 1) ** 2, *outs)
    both.compare("correlate", a, b, **numbers, out=y)
    dy = both.draw(rng, *y.shape)
    both.compare("correlate_gradient", dy, a, b, **numbers, out_a=np.empty_like(a), out_b=np.empty_like(b))
    both.compare("correlate_gradient", dy, a, b, **numbers, out_a=None, out_b=np.empty_like(b))


def test_warping_and_its_gradients_agree(both):
    rng = np.random.default_rng(2)
    x, dy, flow = both.draw(rng, 2, 3, 20, 15), both.draw(rng, 2, 3, 20, 15), 3 * both.draw(rng, 2, 2, 20, 15)
    both.compare("warp", x, flow, fill=5.0, out=np.empty_like(x))
    both.compare("warp_gradient", dy, x, flow, out_x=np.empty_like(x), out_flow=np.empty_like(flow))
    both.compare("warp_gradient", dy, x, flow, out_x=None, out_flow=np.empty_like(flow))


def test_many_places_moved_to_one_add_up(both):
    flow = -np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)))[None].astype(both.real) + 0.25
    dy = np.ones((1, 1, 20, 20), both.real)
    both.compare("warp_gradient", dy, dy, flow, out_x=np.empty_like(dy), out_flow=np.empty_like(flow))
