"""Elementary functions against their formulas."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.elementary import AbsVal, Exp, Log, Power, Threshold
from layerforge.testing import LayerTest, Rig


def positive(rng):
    return [rng.uniform(0.5, 2, size=(2, 3, 4))]


class TestPower(LayerTest):
    layer, in_place = Power, True
    cases = [
        dict(power=2.0), dict(power=2.0, scale=-0.5, shift=0.25), dict(power=0.5), dict(power=3.0, shift=-1.0),
        dict(power=-1.5, scale=2.0, shift=1.0),
        dict(power=0.0), dict(scale=0.0, shift=2.0, power=3.0),
    ]

    def inputs(self, rng):
        return positive(rng)

    def expected(self, x, power=1.0, scale=1.0, shift=0.0):
        return (shift + scale * x) ** power


class TestAffinePower(LayerTest):
    layer, cases = Power, [{}, dict(scale=3.0, shift=1.0)]  # in place: see test_an_affine_power_in_place_…

    def inputs(self, rng):
        return positive(rng)

    def expected(self, x, scale=1.0, shift=0.0):
        return shift + scale * x


def test_an_affine_power_in_place_has_caffes_gradient_and_a_warning(caplog):
    rig = Rig(Power, dict(scale=3.0), [np.ones(2)], in_place=True)
    rig.forward()
    assert rig.backward([np.array([5.0, -1.0])])[0].tolist() == [9, 9]
    assert "give it a top of its own" in caplog.text


class TestExp(LayerTest):
    layer, cases, in_place = Exp, [{}, dict(base=2.0), dict(base=3.0, scale=0.5, shift=-1.0), dict(shift=1.0)], True

    def inputs(self, rng):
        return [rng.normal(size=(2, 3))]

    def expected(self, x, base=-1, scale=1.0, shift=0.0):
        return (np.e if base == -1 else base) ** (shift + scale * x)


class TestLog(LayerTest):
    layer, cases, in_place = Log, [{}, dict(base=2.0), dict(base=0.5, scale=0.5, shift=1.0)], True

    def inputs(self, rng):
        return positive(rng)

    def expected(self, x, base=-1, scale=1.0, shift=0.0):
        return np.log(shift + scale * x) / (1 if base == -1 else np.log(base))


class TestAbsVal(LayerTest):
    layer, kinks = AbsVal, (0.0,)

    def inputs(self, rng):
        return [rng.normal(size=(2, 3))]

    def expected(self, x):
        return np.abs(x)


class TestThreshold(LayerTest):
    layer, cases, gradient, in_place = Threshold, [{}, dict(threshold=0.5)], False, True

    def inputs(self, rng):
        return [rng.normal(size=(2, 3))]

    def expected(self, x, threshold=0.0):
        return (x > threshold).astype(float)


def gradient(layer, x, **case):
    rig = Rig(layer, case, [np.array(x, np.float32)])
    with np.errstate(all="ignore"):
        rig.forward()
        return rig.backward([np.ones(np.shape(x))])[0]


def test_a_value_at_the_threshold_gives_zero():
    assert Rig(Threshold, dict(threshold=0.5), [np.array([0.5, 0.75])]).forward()[0].tolist() == [0, 1]


def test_absval_has_gradient_zero_at_zero():
    assert gradient(AbsVal, [-2, 0, 3]).tolist() == [-1, 0, 1]


def test_absval_refuses_to_work_in_place():
    with pytest.raises(LayerError, match="in place"):
        Rig(AbsVal, {}, [np.zeros(3)], in_place=True)


def test_fractional_powers_have_a_nan_gradient_at_zero_as_in_caffe():
    assert np.isnan(gradient(Power, [0.0], power=1.5)).all()


def test_whole_powers_have_a_finite_gradient_at_zero():
    assert gradient(Power, [0.0, 2.0], power=3.0).tolist() == [0, 12]


def test_a_power_of_no_slope_has_gradient_zero():
    assert gradient(Power, [1.0, -1.0], power=0.0).tolist() == [0, 0]


@pytest.mark.parametrize("layer, base", [(Exp, 0.0), (Log, -2.0), (Log, 1.0)])
def test_a_base_without_logarithm_is_refused(layer, base):
    with pytest.raises(LayerError, match="base"):
        Rig(layer, dict(base=base), [np.ones(3)])
