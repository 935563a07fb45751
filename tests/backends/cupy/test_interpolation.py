"""Resizing on the CuPy backend against NumPy's."""

import numpy as np
import pytest

from layerforge.core.taps import filtered, linear, nearest

SIZES = [((4, 5), (9, 7)), ((9, 7), (4, 3)), ((3, 8), (1, 1)), ((1, 1), (4, 3)), ((20, 33), (39, 17))]
KINDS = [nearest, linear, lambda places, size: filtered(places, size, 2, lambda d: np.maximum(0, 2 - np.abs(d)))]


@pytest.mark.parametrize("ins, outs", SIZES)
@pytest.mark.parametrize("taps", KINDS, ids=["nearest", "linear", "filtered"])
def test_resizing_and_its_gradient_agree(both, ins, outs, taps):
    rng = np.random.default_rng(1)
    rows, columns = (taps(rng.uniform(-1, n, o), n) for n, o in zip(ins, outs))
    x, dy = both.draw(rng, 2, 3, *ins), both.draw(rng, 2, 3, *outs)
    both.compare("resize", x, rows, columns, out=np.empty_like(dy))
    both.compare("resize_gradient", dy, rows, columns, out=np.empty_like(x))
