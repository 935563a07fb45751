"""Whole numbers."""

import numpy as np

from layerforge.layers.rounding import Ceil, Floor, Round
from layerforge.testing import LayerTest, Rig


class TestCeil(LayerTest):
    layer, in_place, gradient = Ceil, True, False

    def inputs(self, rng):
        return [rng.normal(scale=5, size=(3, 5))]

    def expected(self, x):
        return np.ceil(x)


class TestFloor(LayerTest):
    layer, in_place, gradient = Floor, True, False

    def inputs(self, rng):
        return [rng.normal(scale=5, size=(3, 5))]

    def expected(self, x):
        return np.floor(x)


class TestRound(LayerTest):
    layer, in_place, gradient = Round, True, False

    def inputs(self, rng):
        return [rng.normal(scale=5, size=(3, 5))]

    def expected(self, x):
        return np.round(x)


def test_halves_go_to_the_even_number():
    assert Rig(Round, {}, [np.array([0.5, 1.5, 2.5, -0.5])]).forward()[0].tolist() == [0, 2, 2, 0]
