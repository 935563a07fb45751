"""Permute, ShuffleChannel and Reverse."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.ordering import Permute, Reverse, ShuffleChannel
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
