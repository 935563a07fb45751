"""Scale and Bias against their formulas."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.affine import Bias, Scale
from layerforge.testing import LayerTest, Rig

CASES = [
    {}, dict(axis=0), dict(axis=-1), dict(num_axes=2), dict(num_axes=-1), dict(num_axes=0), dict(axis=0, num_axes=-1),
]


def along(b, x, axis=1, **_):
    """b with axes of length 1 behind it, so that its first axis is x's `axis`."""
    first = axis % x.ndim if b.ndim else 0
    return b.reshape(b.shape + (1,) * (x.ndim - first - b.ndim))


class TestScale(LayerTest):
    layer, cases, in_place = Scale, CASES + [dict(bias_term=True), dict(axis=0, num_axes=2, bias_term=True)], True

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4, 2))]

    def expected(self, x, bias_term=False, **case):
        y = x * along(self.blobs[0], x, **case)
        return y + along(self.blobs[1], x, **case) if bias_term else y


class TestScaleByABottom(LayerTest):
    layer, cases, in_place = Scale, [{}, dict(axis=0), dict(axis=2), dict(axis=0, num_axes=1, bias_term=True)], True
    shapes = {0: (2, 3), 1: (3, 4), 2: (4, 2)}

    def inputs(self, rng, axis=1, **_):
        return [rng.normal(size=(2, 3, 4, 2)), rng.normal(size=self.shapes[axis])]

    def expected(self, x, s, bias_term=False, **case):
        y = x * along(s, x, **case)
        return y + along(self.blobs[0], x, **case) if bias_term else y


class TestScaleByAScalarBottom(LayerTest):
    layer, cases, in_place = Scale, [{}, dict(axis=3)], True

    def inputs(self, rng):
        return [rng.normal(size=(2, 3)), rng.normal(size=())]

    def expected(self, x, s, axis=1):
        return x * s


class TestBias(LayerTest):
    layer, cases, in_place = Bias, CASES, True

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4, 2))]

    def expected(self, x, **case):
        return x + along(self.blobs[0], x, **case)


class TestBiasFromABottom(LayerTest):
    layer, cases, in_place = Bias, [{}, dict(num_axes=7)], True

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4)), rng.normal(size=(3, 4))]

    def expected(self, x, b, num_axes=1):
        return x + b


def test_a_learned_scale_starts_at_one_and_a_bias_at_zero():
    scale, bias = Rig(Scale, dict(bias_term=True), [np.zeros((1, 3, 2))]).parameters()
    assert scale.tolist() == [1] * 3 and bias.tolist() == [0] * 3


def test_a_given_filler_counts_whole():
    assert Rig(Scale, dict(filler=dict(type="constant")), [np.zeros((1, 2))]).parameters()[0].tolist() == [0, 0]


def test_the_gradient_of_a_second_bottom_overwrites():
    rig = Rig(Scale, {}, [np.ones((2, 3)), np.ones(3)])
    rig.forward()
    first = rig.backward([np.ones((2, 3))])[1]
    np.testing.assert_array_equal(rig.backward([np.ones((2, 3))])[1], first)


@pytest.mark.parametrize("layer", [Scale, Bias])
def test_an_operand_that_does_not_fit_is_refused(layer):
    with pytest.raises(LayerError, match=r"from axis 1 on it must be \(4,\)"):
        Rig(layer, {}, [np.zeros((2, 3)), np.zeros(4)])


@pytest.mark.parametrize("layer", [Scale, Bias])
def test_axes_past_the_end_are_refused(layer):
    with pytest.raises(LayerError, match="reach past"):
        Rig(layer, dict(axis=1, num_axes=2), [np.zeros((2, 3))])
