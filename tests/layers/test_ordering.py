"""Permute, ShuffleChannel, Reverse, ReverseSequence, DepthToSpace and SpaceToDepth."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.ordering import DepthToSpace, Permute, Reverse, ReverseSequence, ShuffleChannel, SpaceToDepth
from layerforge.testing import LayerTest, Rig


class TestPermute(LayerTest):
    layer = Permute
    cases = [dict(order=o) for o in ([0, 2, 3, 1], [3, 2, 1, 0], [0, 1, 2, 3], [2], [1, 0])]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4, 5))]

    def expected(self, x, order):
        return x.transpose([*order, *(i for i in range(4) if i not in order)])


@pytest.mark.parametrize("order, said", [([0, 0], "twice"), ([4], "has 2 axes")])
def test_permute_refuses(order, said):
    with pytest.raises(LayerError, match=said):
        Rig(Permute, dict(order=order), [np.zeros((2, 3))])


class TestShuffleChannel(LayerTest):
    layer, cases = ShuffleChannel, [dict(), dict(group=2), dict(group=3), dict(group=6)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 6, 2, 3))]

    def expected(self, x, group=1):
        y, size = np.empty_like(x), 6 // group
        for g in range(group):
            for i in range(size):
                y[:, i * group + g] = x[:, g * size + i]
        return y


def test_shuffle_channel_needs_groups_that_divide():
    with pytest.raises(LayerError, match="group: 4 does not divide"):
        Rig(ShuffleChannel, dict(group=4), [np.zeros((1, 6))])


class TestReverse(LayerTest):
    layer, cases = Reverse, [dict(axis=[1]), dict(axis=[0, -1])]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4))]

    def expected(self, x, axis):
        return np.flip(x, axis)


class TestDepthToSpace(LayerTest):
    layer, cases = DepthToSpace, [dict(block_size=2, data_format=f) for f in ("NCHW", "DCR", "CRD", "NHWC")]

    def inputs(self, rng, data_format, **case):
        return [rng.normal(size=(2, 2, 3, 8) if data_format == "NHWC" else (2, 8, 2, 3))]

    def expected(self, x, block_size, data_format):
        x = x.transpose(0, 3, 1, 2) if data_format == "NHWC" else x
        y = np.empty((2, 2, 4, 6))
        for c, i, j in np.ndindex(2, 2, 2):
            y[:, c, i::2, j::2] = x[:, c * 4 + i * 2 + j if data_format == "CRD" else (i * 2 + j) * 2 + c]
        return y.transpose(0, 2, 3, 1) if data_format == "NHWC" else y


class TestSpaceToDepth(LayerTest):
    layer, cases = SpaceToDepth, [dict(block_size=2, data_format=f) for f in ("NCHW", "NHWC")]

    def inputs(self, rng):
        return [rng.normal(size=(2, 4, 6, 2))]

    def expected(self, x, block_size, data_format):
        x = x.transpose(0, 3, 1, 2) if data_format == "NHWC" else x
        y = np.concatenate([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=1)
        return y.transpose(0, 2, 3, 1) if data_format == "NHWC" else y


@pytest.mark.parametrize(
    "layer, shape, said",
    [
        (DepthToSpace, (1, 6, 2, 2), "4 does not divide"),
        (SpaceToDepth, (1, 6, 3, 2), "2 does not divide"),
        (DepthToSpace, (4, 4), "4 axes"),
    ],
)
def test_blocks_must_divide(layer, shape, said):
    with pytest.raises(LayerError, match=said):
        Rig(layer, dict(block_size=2, data_format="NCHW"), [np.zeros(shape)])


class TestReverseSequence(LayerTest):
    layer, cases = ReverseSequence, [dict(seq_axis=0, batch_axis=1), dict(seq_axis=2, batch_axis=1)]

    def inputs(self, rng):
        return [rng.normal(size=(4, 3, 5)), np.array([0, 3.9, 4])]

    def expected(self, x, lengths, seq_axis, batch_axis):
        y = x.swapaxes(0, seq_axis).copy()
        for b, n in enumerate(lengths.astype(int)):
            y[:n, b] = y[:n, b][::-1].copy()
        return y.swapaxes(0, seq_axis)


def test_reverse_sequence_refuses_a_length_beyond_the_axis():
    with pytest.raises(LayerError, match="sequence 1 has the length 5, the axis 4"):
        Rig(ReverseSequence, dict(seq_axis=1), [np.zeros((2, 4)), np.array([4, 5])]).forward()
