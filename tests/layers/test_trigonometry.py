"""Sine and arc tangent."""

import numpy as np

from layerforge.layers.trigonometry import Atan, Sin
from layerforge.testing import LayerTest


class TestSin(LayerTest):
    layer, in_place = Sin, True

    def inputs(self, rng):
        return [rng.normal(scale=2, size=(3, 5))]

    def expected(self, x):
        return np.sin(x)


class TestAtan(LayerTest):
    layer, in_place = Atan, True

    def inputs(self, rng):
        return [rng.normal(scale=2, size=(3, 5))]

    def expected(self, x):
        return np.arctan(x)
