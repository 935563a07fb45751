"""Reorg against Darknet's index."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.reorg import Reorg
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig


def darknet(x, stride, reverse):
    """Value by value, as Darknet walks: channel k, row j, column i of x's sizes."""
    n, c, h, w = x.shape
    few, flat = c // stride**2, x.reshape(n, -1)
    y = np.zeros(flat.shape)
    for k, j, i in np.ndindex(c, h, w):
        channel, offset = k % few, k // few
        here = i + w * (j + h * k)
        row, column = j * stride + offset // stride, i * stride + offset % stride
        there = column + w * stride * (row + h * stride * channel)
        if reverse:
            y[:, there] = flat[:, here]
        else:
            y[:, here] = flat[:, there]
    return y.reshape((n, few, h * stride, w * stride) if reverse else (n, c * stride**2, h // stride, w // stride))


class TestReorg(LayerTest):
    layer = Reorg
    cases = [dict(stride=2), dict(stride=2, reverse=True), dict(stride=1)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 8, 4, 6))]

    def expected(self, x, stride, reverse=False):
        return darknet(x, stride, reverse)


@pytest.mark.parametrize("shape, words", [
    ((1, 6, 4, 4), "which stride² does not divide"), ((1, 4, 5, 4), "does not divide planes of (5, 4)"),
])
def test_sizes_that_do_not_divide_are_refused(shape, words):
    with pytest.raises(LayerForgeError) as caught:
        Rig(Reorg, dict(stride=2), [np.zeros(shape)])
    assert words in str(caught.value)
