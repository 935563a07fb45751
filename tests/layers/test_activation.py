"""Activations against their formulas."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError, PrototxtError
from layerforge.layers.activation import BNLL, ELU, Clip, ReLU, ReLU6, Sigmoid, Swish, TanH
from layerforge.testing import LayerTest, Rig


def values(rng):
    return [rng.normal(scale=2, size=(2, 3, 4))]


class TestReLU(LayerTest):
    layer, cases, in_place, kinks = ReLU, [{}, dict(negative_slope=0.1), dict(negative_slope=2.0)], True, (0.0,)

    def inputs(self, rng):
        return values(rng)

    def expected(self, x, negative_slope=0.0):
        return np.where(x > 0, x, negative_slope * x)


class TestReLUWithLimits(LayerTest):
    layer, in_place, kinks = ReLU, True, (0.0, 1.0, -2.0, 6.0)
    cases = [dict(relu6=True), dict(maximum=1.0), dict(negative_slope=0.5, minimum=-1.0, maximum=1.0)]

    def inputs(self, rng):
        return [rng.normal(scale=5, size=(2, 3, 4))]

    def expected(self, x, negative_slope=0.0, relu6=False, maximum=np.inf, minimum=-np.inf):
        return np.clip(np.where(x > 0, x, negative_slope * x), minimum, 6 if relu6 else maximum)


class TestReLU6(LayerTest):
    layer, cases, in_place, kinks = ReLU6, [{}, dict(threshold=1.0)], True, (0.0, 1.0, 6.0)

    def inputs(self, rng):
        return [rng.normal(scale=5, size=(2, 3, 4))]

    def expected(self, x, threshold=6.0):
        return np.clip(x, 0, threshold)


class TestSigmoid(LayerTest):
    layer, in_place = Sigmoid, True

    def inputs(self, rng):
        return values(rng)

    def expected(self, x):
        return 1 / (1 + np.exp(-x))


class TestTanH(LayerTest):
    layer, in_place = TanH, True

    def inputs(self, rng):
        return values(rng)

    def expected(self, x):
        return np.tanh(x)


LAMBDA = {"lambda": 2.0, "alpha": 0.5}


class TestELU(LayerTest):
    layer, cases, in_place, kinks = ELU, [{}, dict(alpha=0.3), dict(alpha=-0.5), LAMBDA], True, (0.0,)

    def inputs(self, rng):
        return values(rng)

    def expected(self, x, alpha=1.0, **more):
        return more.get("lambda", 1) * np.where(x > 0, x, alpha * (np.exp(x) - 1))


class TestSwish(LayerTest):
    layer, cases, in_place = Swish, [{}, dict(beta=0.5), dict(beta=-2.0)], True

    def inputs(self, rng):
        return values(rng)

    def expected(self, x, beta=1.0):
        return x / (1 + np.exp(-beta * x))


class TestBNLL(LayerTest):
    layer, in_place = BNLL, True

    def inputs(self, rng):
        return values(rng)

    def expected(self, x):
        return np.log(1 + np.exp(x))


class TestClip(LayerTest):
    layer, cases, in_place, kinks = Clip, [dict(min=-1.0, max=0.5)], True, (-1.0, 0.5)

    def inputs(self, rng):
        return values(rng)

    def expected(self, x, min, max):
        return np.clip(x, min, max)


def gradient(layer, x, **case):
    rig = Rig(layer, case, [np.array(x, np.float32)])
    rig.forward()
    return rig.backward([np.ones(np.shape(x))])[0].tolist()


def test_relu_passes_the_negative_slope_at_zero():
    assert gradient(ReLU, [-1, 0, 1]) == [0, 0, 1]
    assert gradient(ReLU, [-1, 0, 1], negative_slope=0.5) == [0.5, 0.5, 1]


def test_clip_passes_at_both_bounds():
    assert gradient(Clip, [-2, -1, 0, 1, 2], min=-1, max=1) == [0, 1, 1, 1, 0]


@pytest.mark.parametrize("layer", [Sigmoid, TanH, BNLL, ELU, Swish])
def test_large_values_neither_overflow_nor_give_nan(layer):
    rig = Rig(layer, {}, [np.array([-1e4, -100, 100, 1e4], np.float32)])
    with np.errstate(over="raise", invalid="raise"):
        y = rig.forward()[0]
        dx = rig.backward([np.ones(4)])[0]
    assert np.isfinite(y).all() and np.isfinite(dx).all()


def test_clip_needs_both_bounds():
    with pytest.raises(PrototxtError, match="max is missing"):
        Rig(Clip, dict(min=0.0), [np.zeros(3)])


def test_clip_refuses_bounds_in_the_wrong_order():
    with pytest.raises(LayerError, match="min: 2 is above max: 1"):
        Rig(Clip, dict(min=2.0, max=1.0), [np.zeros(3)])
