"""PReLU against its formula."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.prelu import PReLU
from layerforge.testing import LayerTest, Rig


class TestPReLU(LayerTest):
    layer, cases, in_place, kinks = PReLU, [{}, dict(channel_shared=True)], True, (0.0,)

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4, 2))]

    def expected(self, x, channel_shared=False):
        a = self.blobs[0].reshape(-1, 1, 1)
        return np.maximum(x, 0) + a * np.minimum(x, 0)


class TestPReLUOfTwoAxes(LayerTest):
    layer, in_place, kinks = PReLU, True, (0.0,)

    def inputs(self, rng):
        return [rng.normal(size=(5, 3))]

    def expected(self, x):
        return np.maximum(x, 0) + self.blobs[0] * np.minimum(x, 0)


def test_slopes_start_at_a_quarter():
    rig = Rig(PReLU, {}, [np.zeros((1, 3, 2))])
    assert rig.parameters()[0].tolist() == [0.25] * 3


def test_a_shared_slope_has_no_axes():
    assert Rig(PReLU, dict(channel_shared=True), [np.zeros((1, 3, 2))]).parameters()[0].shape == ()


def test_one_axis_is_refused():
    with pytest.raises(LayerError, match="at least two axes"):
        Rig(PReLU, {}, [np.zeros(3)])
