"""Flatten, Reshape, Squeeze, ExpandDimsND, Split and Silence."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.shaping import ExpandDimsND, Flatten, Reshape, Shape, Silence, Split, Squeeze
from layerforge.testing import LayerTest, Rig


class TestFlatten(LayerTest):
    layer = Flatten
    cases = [dict(), dict(axis=2), dict(axis=0, end_axis=-2), dict(axis=-2, end_axis=2)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4, 5))]

    def expected(self, x, axis=1, end_axis=-1):
        first, last = axis % 4, end_axis % 4
        return x.reshape(*x.shape[:first], -1, *x.shape[last + 1 :])


@pytest.mark.parametrize(
    "case, shape",
    [
        (dict(shape=dict(dim=[0, -1])), (2, 12)),
        (dict(shape=dict(dim=[4, 6])), (4, 6)),
        (dict(shape=dict(dim=[3, 1]), axis=1, num_axes=1), (2, 3, 1, 4)),
        (dict(shape=dict(dim=[1]), axis=-1, num_axes=0), (2, 3, 4, 1)),
        (dict(shape=dict(dim=[2, 2]), axis=-2), (2, 3, 2, 2)),
        (dict(shape=dict(dim=[]), axis=1, num_axes=0), (2, 3, 4)),
        (dict(shape=dict(dim=[0, 0, 2, -1])), (2, 3, 2, 2)),
    ],
)
def test_reshape_gives_caffes_shape(case, shape):
    x = np.arange(24.0).reshape(2, 3, 4)
    (y,) = Rig(Reshape, case, [x]).forward()
    np.testing.assert_array_equal(y, x.reshape(shape))


class TestReshape(LayerTest):
    layer = Reshape
    cases = [dict(shape=dict(dim=[0, -1]))]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4))]

    def expected(self, x, shape):
        return x.reshape(2, 12)


@pytest.mark.parametrize(
    "case, said",
    [
        (dict(shape=dict(dim=[5, -1])), "rows of 5"),
        (dict(shape=dict(dim=[-1, -1])), "more than one -1"),
        (dict(shape=dict(dim=[7])), "does not fit"),
        (dict(shape=dict(dim=[1, 1, 1, 0])), "holds a 0"),
        (dict(axis=2, num_axes=2), "beyond"),
        (dict(axis=4), "axis: 4"),
    ],
)
def test_reshape_refuses_what_does_not_fit(case, said):
    with pytest.raises(LayerError, match=said):
        Rig(Reshape, case, [np.zeros((2, 3, 4))])


@pytest.mark.parametrize("layer, case", [(Flatten, {}), (Reshape, dict(shape=dict(dim=[-1])))])
def test_flatten_and_reshape_share_data_and_gradient(layer, case):
    rig = Rig(layer, case, [np.zeros((2, 3))])
    assert rig.tops[0].data is rig.bottoms[0].data
    assert rig.tops[0].diff is rig.bottoms[0].diff


def test_a_shared_top_follows_a_bottom_of_another_size():
    rig = Rig(Flatten, {}, [np.zeros((2, 3, 1))])
    (y,) = rig.forward([np.ones((5, 3, 2))])
    np.testing.assert_array_equal(y, np.ones((5, 6)))


class TestSplit(LayerTest):
    layer, tops = Split, 3

    def inputs(self, rng):
        return [rng.normal(size=(2, 3))]

    def expected(self, x):
        return x, x, x


def test_split_shares_data_but_not_gradients():
    rig = Rig(Split, {}, [np.zeros((2, 3))], tops=2)
    assert all(top.data is rig.bottoms[0].data for top in rig.tops)
    assert len({id(blob.diff) for blob in [*rig.tops, *rig.bottoms]}) == 3


@pytest.mark.parametrize("tops", [1, 2, 4])
def test_split_adds_the_gradients_up(tops):
    rig = Rig(Split, {}, [np.zeros((2, 2))], tops=tops)
    diffs = [np.full((2, 2), 10.0**i) for i in range(tops)]
    np.testing.assert_array_equal(rig.backward(diffs)[0], sum(diffs))


def test_split_refuses_its_own_bottom_as_top():
    with pytest.raises(LayerError, match="cannot work in place"):
        Rig(Split, {}, [np.zeros(2)], in_place=True)


def test_silence_gives_zero_gradients():
    rig = Rig(Silence, {}, [np.ones(3), np.ones((2, 2))])
    assert rig.forward() == []
    for blob in rig.bottoms:
        blob.diff.set(np.full(blob.shape, 5, np.float32))
    first, second = rig.backward([], [True, False])
    assert (first == 0).all() and (second == 5).all()


class TestSqueeze(LayerTest):
    layer, cases = Squeeze, [dict(), dict(axis=[1, -1]), dict(axis=[1])]

    def inputs(self, rng):
        return [rng.normal(size=(2, 1, 3, 1))]

    def expected(self, x, axis=None):
        return np.squeeze(x, tuple(axis) if axis else None)


class TestExpandDims(LayerTest):
    layer, cases = ExpandDimsND, [dict(axis=[1]), dict(axis=[-1, 0]), dict(axis=[1, 2])]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3))]

    def expected(self, x, axis):
        return np.expand_dims(x, tuple(axis))


@pytest.mark.parametrize(
    "layer, case, said",
    [
        (Squeeze, dict(axis=[0]), r"axis: \[0\]"),
        (ExpandDimsND, dict(axis=[0, 0]), "names an axis twice"),
    ],
)
def test_axes_of_size_one_are_checked(layer, case, said):
    with pytest.raises(LayerError, match=said):
        Rig(layer, case, [np.zeros((2, 1))])


class TestShape(LayerTest):
    layer, gradient = Shape, False

    def inputs(self, rng):
        return [np.zeros((2, 3, 4))]

    def expected(self, x):
        return np.array([2.0, 3, 4])


class TestReshapeThatShufflesPixels(LayerTest):
    layer, cases = Reshape, [dict(pixelshuffler=2)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 8, 2, 3))]

    def expected(self, x, pixelshuffler):
        y = np.empty((2, 2, 4, 6))
        for c, i, j in np.ndindex(2, 2, 2):
            y[:, c, i::2, j::2] = x[:, c * 4 + i * 2 + j]
        return y


def test_pixels_are_shuffled_out_of_whole_squares_only():
    with pytest.raises(LayerError, match="must be"):
        Rig(Reshape, dict(pixelshuffler=2), [np.zeros((1, 6, 2, 2))])
