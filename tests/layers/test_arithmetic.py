"""Arithmetic with shapes matched from the last axis on."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.arithmetic import (
    Add,
    Div,
    FloorDiv,
    FloorMod,
    Maximum,
    Minimum,
    Mul,
    Pow,
    SpatialProduct,
    Sub,
)
from layerforge.testing import LayerTest, Rig

FUNCTIONS = [(Add, np.add), (Sub, np.subtract), (Mul, np.multiply), (Div, np.divide), (Maximum, np.maximum),
             (Minimum, np.minimum), (Pow, np.power)]
SHAPES = [((2, 3), (2, 3)), ((2, 3, 4), (3, 1)), ((3, 1), (2, 3, 4)), ((2, 1, 4), (3, 1)), ((2, 3), ())]


def arithmetic_test(layer, function, shapes, gradient=True):
    """A LayerTest of one function and pair of shapes."""

    def inputs(self, rng):
        return [rng.uniform(0.5, 3, size=shape) for shape in shapes]

    members = dict(layer=layer, gradient=gradient, inputs=inputs, expected=lambda self, a, b: function(a, b))
    return type("Test", (LayerTest,), members)


for number, some in enumerate(SHAPES):
    for one, formula in FUNCTIONS:
        globals()[f"Test{one.type}Of{number}"] = arithmetic_test(one, formula, some)
TestFloorDiv = arithmetic_test(FloorDiv, lambda a, b: np.floor(a / b), SHAPES[1], gradient=False)
TestFloorMod = arithmetic_test(FloorMod, np.mod, SHAPES[1], gradient=False)
TestSpatialProduct = arithmetic_test(SpatialProduct, np.multiply, ((2, 3, 2, 4), (2, 1, 2, 4)))


@pytest.mark.parametrize("shapes", [((2, 3), (2,)), ((2, 3), (3, 3)), ((0, 3), (2, 3))])
def test_shapes_that_cannot_be_matched_are_refused(shapes):
    with pytest.raises(LayerError, match="cannot be matched"):
        Rig(Add, {}, [np.zeros(s) for s in shapes])


def test_of_equal_values_the_second_gets_the_gradient():
    rig = Rig(Maximum, {}, [np.ones(2), np.ones(2)])
    rig.forward()
    assert [dx.tolist() for dx in rig.backward([np.ones(2)])] == [[0, 0], [1, 1]]


def test_the_mask_of_a_spatial_product_has_one_channel():
    with pytest.raises(LayerError, match="one channel"):
        Rig(SpatialProduct, {}, [np.zeros((2, 3, 2, 2)), np.zeros((2, 3, 2, 2))])
