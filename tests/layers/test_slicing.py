"""Piece, StridedSlice, Unstack and Stack."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.slicing import Piece, Stack, StridedSlice, Unstack
from layerforge.testing import LayerTest, Rig

FIVE = np.arange(2 * 4 * 5.0).reshape(2, 4, 5)


class TestPiece(LayerTest):
    layer, cases = Piece, [dict(begin=[0, 1, 2], size=[2, 2, 3]), dict(begin=[1, 0, 0], size=[1, -1, 1])]

    def inputs(self, rng):
        return [rng.normal(size=(2, 4, 5))]

    def expected(self, x, begin, size):
        return x[tuple(slice(b, None if s == -1 else b + s) for b, s in zip(begin, size))]


class TestStridedSlice(LayerTest):
    layer, cases = StridedSlice, [dict(begin=[0, -3, 4], end=[2, 3, 0], strides=[1, 1, -2])]

    def inputs(self, rng):
        return [rng.normal(size=(2, 4, 5))]

    def expected(self, x, **case):
        return x[:, 1:3, 4:0:-2]


@pytest.mark.parametrize(
    "case, want",
    [
        (dict(begin=[1], end=[9]), FIVE[1:]),
        (dict(begin=[1, 3], end=[4, 5], axes=[1, -1]), FIVE[:, 1:4, 3:5]),
        (dict(begin=[1, 1], end=[0, 0], begin_mask=1, end_mask=2), FIVE[:0, 1:]),
        (dict(begin=[1, 2], end=[2, 3], shrink_axis_mask=1), FIVE[1, 2:3]),
        (dict(begin=[0, 0, 1], end=[0, 0, 4], ellipsis_mask=1, new_axis_mask=2), FIVE[..., None, 1:4]),
        (dict(begin=[1, -1, 2], end=[0, 0, 0], shrink_axis_mask=7), FIVE[1, -1, 2]),
    ],
)
def test_strided_slice_follows_numpy(case, want):
    (y,) = Rig(StridedSlice, case, [FIVE]).forward()
    np.testing.assert_array_equal(y, want)


@pytest.mark.parametrize(
    "layer, case, said",
    [
        (Piece, dict(begin=[0], size=[1]), "has 3 axes"),
        (Piece, dict(begin=[0, 0, 4], size=[1, 1, 2]), "does not lie in"),
        (StridedSlice, dict(begin=[0, 1], end=[1]), "begin has 2 values"),
        (StridedSlice, dict(begin=[0], end=[1], strides=[0]), "holds a 0"),
        (StridedSlice, dict(begin=[0] * 4, end=[1] * 4), "4 slices"),
        (StridedSlice, dict(begin=[2], end=[3], shrink_axis_mask=1), "axis 0 has 2"),
        (StridedSlice, dict(begin=[0, 0], end=[1, 1], ellipsis_mask=3), "several bits"),
        (Unstack, dict(axis=0), "there are 1 tops"),
    ],
)
def test_slicing_refuses(layer, case, said):
    with pytest.raises(LayerError, match=said):
        Rig(layer, case, [FIVE])


class TestUnstack(LayerTest):
    layer, tops, cases = Unstack, 3, [dict(axis=1), dict(axis=-2, num=3)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4))]

    def expected(self, x, **case):
        return x[:, 0], x[:, 1], x[:, 2]


class TestStack(LayerTest):
    layer, cases = Stack, [dict(), dict(axis=1), dict(axis=-1)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3)) for _ in range(3)]

    def expected(self, *x, axis=0):
        return np.stack(x, axis)


def test_stack_refuses_bottoms_of_different_shape():
    with pytest.raises(LayerError, match=r"bottom\[1\] is"):
        Rig(Stack, {}, [np.zeros(2), np.zeros(3)])
