"""Gather, GatherV2 and OneHot."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.gathering import Gather, GatherV2, OneHot
from layerforge.testing import LayerTest, Rig


class TestGather(LayerTest):
    layer = Gather
    cases = [
        dict(indices=[2, 0, 2], shape=[3], axis=1),
        dict(indices=[1, 0], shape=[2, 1]),
        dict(indices=[3], axis=-2),
        dict(indices=[0, 2, 1, 1], shape=[2, 2], axis=2),
    ]

    def inputs(self, rng):
        return [rng.normal(size=(2, 4, 3))]

    def expected(self, x, indices, shape=(), axis=0):
        return np.take(x, np.reshape(indices, shape), axis)


class TestGatherV2(LayerTest):
    layer, cases = GatherV2, [dict(), dict(axis=1), dict(axis=-1)]

    def inputs(self, rng):
        return [rng.normal(size=(3, 4, 3)), np.array([[2, 0, 1.9], [2, 2, 0]])]

    def expected(self, x, r, axis=0):
        return np.take(x, r.astype(int), axis)


@pytest.mark.parametrize(
    "layer, case, inputs, said",
    [
        (Gather, dict(indices=[2], shape=[1]), [np.zeros((2, 3))], "indices: 2, but there are 2"),
        (Gather, dict(indices=[0, 1], shape=[3]), [np.zeros((2, 3))], "2 indices for the shape"),
        (GatherV2, dict(axis=1), [np.zeros((2, 3)), np.array([0, 3])], "place 3 of an axis of 3"),
    ],
)
def test_gathering_refuses_indices_out_of_range(layer, case, inputs, said):
    with pytest.raises(LayerError, match=said):
        Rig(layer, case, inputs).forward()


class TestOneHot(LayerTest):
    layer, gradient = OneHot, False
    cases = [dict(depth=4), dict(depth=3, axis=0, on_value=2.0, off_value=-1.0), dict(depth=5, axis=1)]

    def inputs(self, rng):
        return [np.array([[0, 2.9, 7], [1, -1, 3]])]

    def expected(self, x, depth, axis=-1, on_value=1.0, off_value=0.0):
        y = np.where(x.astype(int)[..., None] == np.arange(depth), on_value, off_value)
        return np.moveaxis(y, -1, axis)
