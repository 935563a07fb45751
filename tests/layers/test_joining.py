"""Concat and Slice."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.joining import Concat, Slice
from layerforge.testing import LayerTest, Rig


class TestConcat(LayerTest):
    layer = Concat
    cases = [dict(), dict(axis=1), dict(concat_dim=1), dict(axis=-2)]

    def inputs(self, rng):
        return [rng.normal(size=(2, n, 3)) for n in (1, 4, 2)]

    def expected(self, *x, **case):
        return np.concatenate(x, axis=1)


class TestConcatOnOuterAxis(LayerTest):
    layer, cases = Concat, [dict(axis=0), dict(concat_dim=0)]

    def inputs(self, rng):
        return [rng.normal(size=(n, 3)) for n in (1, 4)]

    def expected(self, *x, **case):
        return np.concatenate(x, axis=0)


class TestConcatOfOne(LayerTest):
    layer = Concat

    def inputs(self, rng):
        return [rng.normal(size=(2, 3))]

    def expected(self, x):
        return x


@pytest.mark.parametrize(
    "case, shapes, said",
    [
        (dict(axis=1, concat_dim=1), [(2, 3), (2, 3)], "both set"),
        (dict(), [(2, 3), (3, 3)], "axis 1 only"),
        (dict(), [(2, 3), (2, 3, 1)], "axis 1 only"),
        (dict(axis=2), [(2, 3)], "axis: 2"),
        (dict(concat_dim=5), [(2, 3)], "concat_dim: 5"),
    ],
)
def test_concat_refuses(case, shapes, said):
    with pytest.raises(LayerError, match=said):
        Rig(Concat, case, [np.zeros(s) for s in shapes])


class TestSliceEvenly(LayerTest):
    layer, tops, cases = Slice, 3, [dict(), dict(slice_dim=1), dict(axis=-2)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 6, 3))]

    def expected(self, x, **case):
        return np.split(x, 3, axis=1)


class TestSliceAtPoints(LayerTest):
    layer, tops, cases = Slice, 3, [dict(slice_point=[1, 4], axis=-1)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 6))]

    def expected(self, x, **case):
        return np.split(x, [1, 4], axis=2)


@pytest.mark.parametrize(
    "case, said",
    [
        (dict(axis=1, slice_dim=1), "both set"),
        (dict(slice_point=[1]), "must be 2"),
        (dict(slice_point=[3, 2]), "must rise"),
        (dict(slice_point=[3, 7]), "slice_point: 7"),
        (dict(axis=0), "do not divide"),
    ],
)
def test_slice_refuses(case, said):
    with pytest.raises(LayerError, match=said):
        Rig(Slice, case, [np.zeros((2, 6))], tops=3)
