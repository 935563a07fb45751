"""Softmax and LogSoftmax."""

import numpy as np
import pytest

from layerforge.layers.softmax import LogSoftmax, Softmax
from layerforge.testing import LayerTest, Rig


class TestSoftmax(LayerTest):
    layer, in_place = Softmax, True
    cases = [dict(), dict(axis=0), dict(axis=2), dict(axis=-1)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 5, 3)) * 3]

    def expected(self, x, axis=1):
        e = np.exp(x)
        return e / e.sum(axis=axis, keepdims=True)


class TestSoftmaxOfRows(LayerTest):
    layer, in_place = Softmax, True

    def inputs(self, rng):
        return [rng.normal(size=(4, 6))]

    def expected(self, x):
        e = np.exp(x)
        return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("shape", [(1, 2), (1, 2, 1, 1), (1, 2, 2)])
def test_softmax_takes_huge_values(shape):
    x = np.full(shape, 1e30)
    x[:, 1] = -1e30
    (y,) = Rig(Softmax, {}, [x]).forward()
    np.testing.assert_array_equal(y[:, 0], 1)
    np.testing.assert_array_equal(y[:, 1], 0)


class TestLogSoftmax(LayerTest):
    layer, cases = LogSoftmax, [dict(), dict(axis=0), dict(axis=-1)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 5, 3)) * 3]

    def expected(self, x, axis=1):
        return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


def test_log_softmax_takes_huge_values():
    (y,) = Rig(LogSoftmax, {}, [np.array([[1e30, -1e30]])]).forward()
    np.testing.assert_array_equal(y, np.array([[0, -2e30]], np.float32))
