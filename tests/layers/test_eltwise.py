"""Eltwise against its formulas."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.eltwise import Eltwise
from layerforge.testing import LayerTest, Rig


class TestEltwise(LayerTest):
    layer = Eltwise
    cases = [
        {}, dict(coeff=[0.5, -1.0, 2.0]), dict(coeff=[1.0, 1.0, 3.0]), dict(operation="MAX"),
        dict(operation="PROD"), dict(operation="PROD", stable_prod_grad=False),
        dict(operation="MIN"), dict(operation="DIV"),
    ]

    def inputs(self, rng):
        return [rng.uniform(0.5, 2, size=(2, 3, 4)) * rng.choice([-1, 1], size=(2, 3, 4)) for _ in range(3)]

    def expected(self, *xs, operation="SUM", coeff=(1, 1, 1), stable_prod_grad=True):
        if operation == "SUM":
            return sum(c * x for c, x in zip(coeff, xs))
        if operation == "DIV":
            return xs[0] / xs[1] / xs[2]
        return {"PROD": np.prod, "MAX": np.max, "MIN": np.min}[operation](xs, axis=0)


class TestEltwiseSumInPlace(LayerTest):
    layer, cases, in_place = Eltwise, [{}, dict(coeff=[0.5, -1.0])], True

    def inputs(self, rng):
        return [rng.normal(size=(2, 3)) for _ in range(2)]

    def expected(self, a, b, coeff=(1, 1)):
        return coeff[0] * a + coeff[1] * b


class TestEltwiseOfFewerAxes(LayerTest):
    layer = Eltwise
    cases = [dict(operation=op, axis=axis) for op in ("PROD", "SUM", "MAX", "DIV") for axis in (0, 1)]

    def inputs(self, rng, axis, **_):
        return [rng.normal(size=(2, 3, 4)), rng.uniform(0.5, 2, size=[(2, 3), (3, 4)][axis])]

    def expected(self, a, b, operation, axis):
        b = b[..., None] if axis == 0 else b
        return {"PROD": a * b, "SUM": a + b, "MAX": np.maximum(a, b), "DIV": a / b}[operation]


def winners(*values):
    rig = Rig(Eltwise, dict(operation="MAX"), [np.array([v]) for v in values])
    rig.forward()
    return [dx.item() for dx in rig.backward([np.ones(1)])]


def test_a_tie_of_the_first_two_goes_to_the_second():
    assert winners(1.0, 1.0) == [0, 1]


def test_a_later_bottom_must_be_larger():
    assert winners(1.0, 0.0, 1.0) == [1, 0, 0]
    assert winners(1.0, 0.0, 2.0) == [0, 0, 1]


def test_shapes_that_differ_are_refused():
    with pytest.raises(LayerError, match=r"bottom\[1\] is \(3,\), bottom\[0\] is \(2,\)"):
        Rig(Eltwise, {}, [np.zeros(2), np.zeros(3)])


def test_a_wrong_number_of_coefficients_is_refused():
    with pytest.raises(LayerError, match="1 coefficients for 2 bottoms"):
        Rig(Eltwise, dict(coeff=[1.0]), [np.zeros(2), np.zeros(2)])


@pytest.mark.parametrize("operation", ["PROD", "MAX"])
def test_coefficients_and_work_in_place_are_for_sums(operation):
    with pytest.raises(LayerError, match="coeff is for SUM"):
        Rig(Eltwise, dict(operation=operation, coeff=[1.0, 1.0]), [np.zeros(2), np.zeros(2)])
    with pytest.raises(LayerError, match="in place"):
        Rig(Eltwise, dict(operation=operation), [np.zeros(2), np.zeros(2)], in_place=True)
