"""Activations made of straight lines, against their formulas."""

import numpy as np

from layerforge.layers.hard_activation import HardSigmoid, HardSwish, HardTanH, ThresholdedReLU
from layerforge.testing import LayerTest


class Values(LayerTest):
    in_place = True

    def inputs(self, rng):
        return [rng.normal(scale=3, size=(3, 8))]


class TestHardSigmoid(Values):
    layer, cases, kinks = HardSigmoid, [{}, dict(alpha=0.5, beta=0.0)], (-2.5, 2.5, 0.0, 2.0)

    def expected(self, x, alpha=0.2, beta=0.5):
        return np.clip(alpha * x + beta, 0, 1)


class TestHardTanH(Values):
    layer, kinks = HardTanH, (-1.0, 1.0)

    def expected(self, x):
        return np.clip(x, -1, 1)


class TestHardSwish(Values):
    layer, kinks = HardSwish, (-3.0, 3.0)

    def expected(self, x):
        return x * np.clip(x / 6 + 0.5, 0, 1)


class TestThresholdedReLU(Values):
    layer, cases, kinks = ThresholdedReLU, [{}, dict(alpha=-0.5)], (1.0, -0.5)

    def expected(self, x, alpha=1.0):
        return np.where(x > alpha, x, 0)
