"""Reductions over any axes."""

import numpy as np
import pytest

from layerforge.layers import axis_reduction as reductions
from layerforge.testing import LayerTest, Rig

CASES = [dict(axis=[1]), dict(axis=[0, -1], keepdims=True), dict(), dict(axis=[2], keepdims=False)]


class AxesTest(LayerTest):
    cases = CASES

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4))]

    def expected(self, x, axis=None, keepdims=False):
        return self.function(x, axis=tuple(axis) if axis else None, keepdims=keepdims)


class TestReduceSum(AxesTest):
    layer, function = reductions.ReduceSum, staticmethod(np.sum)


class TestReduceMean(AxesTest):
    layer, function = reductions.ReduceMean, staticmethod(np.mean)


class TestReduceMax(AxesTest):
    layer, function, gradient = reductions.ReduceMax, staticmethod(np.max), False


class TestReduceMin(AxesTest):
    layer, function, gradient = reductions.ReduceMin, staticmethod(np.min), False


class TestReduceProd(AxesTest):
    layer, function, gradient = reductions.ReduceProd, staticmethod(np.prod), False


class TestReduceLogSumExp(AxesTest):
    layer = reductions.ReduceLogSumExp

    @staticmethod
    def function(x, **how):
        return np.log(np.exp(x).sum(**how))


class TestCountNonzero(AxesTest):
    layer, function, gradient = reductions.CountNonzero, staticmethod(np.count_nonzero), False

    def inputs(self, rng):
        return [rng.integers(0, 2, size=(2, 3, 4)) * rng.normal(size=(2, 3, 4))]


class NormTest(AxesTest):
    cases = [dict(axes=[1], keepdims=0), dict(axes=[0, -1]), dict()]

    def expected(self, x, axes=None, keepdims=1):
        return self.function(x, axis=tuple(axes) if axes else None, keepdims=bool(keepdims))


class TestReduceL1(NormTest):
    layer = reductions.ReduceL1

    @staticmethod
    def function(x, **how):
        return abs(x).sum(**how)


class TestReduceL2(NormTest):
    layer = reductions.ReduceL2

    @staticmethod
    def function(x, **how):
        return np.sqrt((x * x).sum(**how))


def test_the_norm_of_zeros_has_gradient_zero():
    rig = Rig(reductions.ReduceL2, {}, [np.zeros((2, 3))])
    assert rig.forward()[0] == 0
    assert (rig.backward([1.0])[0] == 0).all()


@pytest.mark.parametrize("big", [1e30, -1e30])
def test_log_sum_exp_takes_huge_values(big):
    assert Rig(reductions.ReduceLogSumExp, {}, [np.array([big, -2e30])]).forward()[0] == np.float32(big)
