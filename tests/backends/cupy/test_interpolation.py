"""Bilinear interpolation of the CuPy backend against NumPy's."""

import numpy as np
import pytest


@pytest.mark.parametrize(
    "ins, outs, begin, end",
    [((4, 5), (9, 7), 0, 0), ((9, 7), (4, 3), 0, 0), ((6, 6), (1, 1), 1, 2), ((3, 8), (5, 8), 1, 0), ((1, 1), (4, 3), 0, 0),
     ((5, 1), (2, 6), 0, 0), ((33, 20), (65, 39), 2, 1), ((40, 40), (13, 14), 0, 0)],
)
def test_interpolation_and_its_gradient_agree(both, ins, outs, begin, end):
    rng = np.random.default_rng(1)
    ins = tuple(max(n, begin + end + 1) for n in ins)
    x, dy = both.draw(rng, 2, 3, *ins), both.draw(rng, 2, 3, *outs)
    both.compare("bilinear", x, begin, end, out=np.empty_like(dy))
    both.compare("bilinear_gradient", dy, begin, end, out=np.empty_like(x))
