"""Axpy against its formula."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.axpy import Axpy
from layerforge.testing import LayerTest, Rig


class TestAxpy(LayerTest):
    layer = Axpy

    def inputs(self, rng):
        return [rng.normal(size=s) for s in [(2, 3, 1, 1), (2, 3, 4, 5), (2, 3, 4, 5)]]

    def expected(self, a, x, y):
        return a * x + y


def test_a_scale_of_two_axes_is_enough():
    x = np.ones((1, 2, 2))
    assert Rig(Axpy, {}, [np.full((1, 2), 3.0), x, x]).forward()[0].tolist() == [[[4, 4], [4, 4]]]


@pytest.mark.parametrize("shapes", [
    [(2, 1), (2, 3, 4), (2, 3, 4)], [(2, 3, 4), (2, 3, 4), (2, 3, 4)], [(2, 3), (2, 3, 4), (2, 3, 5)],
])
def test_shapes_that_do_not_fit_are_refused(shapes):
    with pytest.raises(LayerError, match=r"bottom\["):
        Rig(Axpy, {}, [np.zeros(s) for s in shapes])
