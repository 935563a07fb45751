"""Smooth activations of the forks against their formulas."""

import numpy as np
import pytest

from layerforge.layers.soft_activation import Mish, ScaledTanH, SeLU, Softplus, Softsign
from layerforge.testing import LayerTest, Rig


def values(rng):
    return [rng.normal(scale=2, size=(3, 8))]


class TestSoftplus(LayerTest):
    layer, in_place = Softplus, True

    def inputs(self, rng):
        return values(rng)

    def expected(self, x):
        return np.log(1 + np.exp(x))


class TestSoftsign(LayerTest):
    layer, in_place = Softsign, True

    def inputs(self, rng):
        return values(rng)

    def expected(self, x):
        return x / (1 + np.abs(x))


class TestMish(LayerTest):
    layer, in_place = Mish, True

    def inputs(self, rng):
        return values(rng)

    def expected(self, x):
        return x * np.tanh(np.log(1 + np.exp(x)))


class TestSeLU(LayerTest):
    layer, cases, in_place, kinks = SeLU, [{}, {"lambda": 2.0, "alpha": 0.5}], True, (0.0,)

    def inputs(self, rng):
        return values(rng)

    def expected(self, x, alpha=1.67326319, **more):
        return more.get("lambda", 1.05070102) * np.where(x > 0, x, alpha * (np.exp(x) - 1))


class TestScaledTanH(LayerTest):
    layer, cases, in_place = ScaledTanH, [dict(alpha=1.7, beta=0.6)], True

    def inputs(self, rng):
        return values(rng)

    def expected(self, x, alpha, beta):
        return alpha * np.tanh(beta * x)


@pytest.mark.parametrize("layer", [Softplus, Softsign, Mish, SeLU])
def test_large_values_neither_overflow_nor_give_nan(layer):
    rig = Rig(layer, {}, [np.array([-1e4, -100, 100, 1e4], np.float32)])
    with np.errstate(over="raise", invalid="raise"):
        y, dx = rig.forward()[0], rig.backward([np.ones(4)])[0]
    assert np.isfinite(y).all() and np.isfinite(dx).all()
