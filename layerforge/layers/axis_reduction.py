"""Reductions over any axes: ReduceSum, …Mean, …Max, …Min, …Prod, …L1, …L2, …LogSumExp, CountNonzero."""

from __future__ import annotations

import math

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class AxesParams(Params):
    axis: tuple[int, ...] = field(int, repeated=True, doc="the axes that are reduced; without: all")
    keepdims: bool = field(bool, False, doc="they stay with size 1")


class AxisReduction(Layer):
    """Base of reductions over axes; subclasses write `reduce`, and `spread` if there is a gradient.

    bottom[0]  x of any shape
    top[0]     y, the shape without the reduced axes, or 1 in their place with keepdims

    of_nothing  whether no values at all have a result
    """

    of_nothing = True

    def reshape(self, bottom, top):
        p, shape = self.params, bottom[0].shape
        axes = p.axes if hasattr(p, "axes") else p.axis
        reduced = {self.axis(i, len(shape)) for i in axes} or set(range(len(shape)))
        self.axes = tuple(sorted(reduced))
        self.kept_shape = [1 if i in reduced else n for i, n in enumerate(shape)]
        self.items = math.prod(shape[i] for i in reduced)
        self.require(self.items or self.of_nothing, f"bottom[0] is {shape}: no values to reduce",
                     hint="an axis of size 0 is no batch")
        top[0].reshape(self.kept_shape if p.keepdims else [n for i, n in enumerate(shape) if i not in reduced])
        self.work, self.small = self.scratch(shape), self.scratch(self.kept_shape)

    def forward(self, bottom, top):
        self.reduce(bottom[0].data, top[0].data.reshape(self.kept_shape))

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            y, dy = top[0].data.reshape(self.kept_shape), top[0].diff.reshape(self.kept_shape)
            self.spread(bottom[0].data, y, dy, bottom[0].diff)

    def total(self, x, out):
        return self.xp.sum(x, axis=self.axes, keepdims=True, out=out)

    def reduce(self, x, y):
        """Writes y, which has size 1 in the reduced axes."""
        raise NotImplementedError

    def spread(self, x, y, dy, dx):
        """Writes dx."""
        super().backward((), (True,), ())  # raises: no gradient


class ReduceSumParams(AxesParams, message="reduce_sum_param"):
    """Those of every reduction."""


class ReduceSum(AxisReduction):
    """y = Σ x"""

    type, Params = "ReduceSum", ReduceSumParams

    def reduce(self, x, y):
        self.total(x, y)

    def spread(self, x, y, dy, dx):
        self.xp.copyto(dx, dy)


class ReduceMeanParams(AxesParams, message="reduce_mean_param"):
    """Those of every reduction."""


class ReduceMean(AxisReduction):
    """y = Σ x / n"""

    type, Params = "ReduceMean", ReduceMeanParams

    def reduce(self, x, y):
        self.xp.divide(self.total(x, y), self.items, out=y)

    def spread(self, x, y, dy, dx):
        self.xp.copyto(dx, self.xp.divide(dy, self.items, out=self.small.data))


class ReduceMaxParams(AxesParams, message="reduce_max_param"):
    """Those of every reduction."""


class ReduceMax(AxisReduction):
    """y = max x      without gradient"""

    type, Params = "ReduceMax", ReduceMaxParams
    of_nothing = False

    def reduce(self, x, y):
        self.xp.amax(x, axis=self.axes, keepdims=True, out=y)


class ReduceMinParams(AxesParams, message="reduce_min_param"):
    """Those of every reduction."""


class ReduceMin(AxisReduction):
    """y = min x      without gradient"""

    type, Params = "ReduceMin", ReduceMinParams
    of_nothing = False

    def reduce(self, x, y):
        self.xp.amin(x, axis=self.axes, keepdims=True, out=y)


class ReduceProdParams(AxesParams, message="reduce_prod_param"):
    """Those of every reduction."""


class ReduceProd(AxisReduction):
    """y = Π x      without gradient"""

    type, Params = "ReduceProd", ReduceProdParams

    def reduce(self, x, y):
        self.xp.prod(x, axis=self.axes, keepdims=True, out=y)


class ReduceLogSumExpParams(AxesParams, message="reduce_logsumexp_param"):
    """Those of every reduction."""


class ReduceLogSumExp(AxisReduction):
    """y = log Σ exp x      dx = exp(x - y) dy"""

    type, Params = "ReduceLogSumExp", ReduceLogSumExpParams
    of_nothing = False

    def reduce(self, x, y):
        xp, work, most = self.xp, self.work.data, self.small.data
        xp.subtract(x, xp.amax(x, axis=self.axes, keepdims=True, out=most), out=work)
        xp.log(self.total(xp.exp(work, out=work), y), out=y)
        xp.add(y, most, out=y)

    def spread(self, x, y, dy, dx):
        self.xp.exp(self.xp.subtract(x, y, out=dx), out=dx)
        self.xp.multiply(dx, dy, out=dx)


class CountNonzeroParams(AxesParams, message="count_nonzero_param"):
    """Those of every reduction."""


class CountNonzero(AxisReduction):
    """y = number of x that are not 0      without gradient"""

    type, Params = "CountNonzero", CountNonzeroParams

    def reduce(self, x, y):
        self.total(self.xp.not_equal(x, 0, out=self.work.data), y)


class NormParams(Params):
    axes: tuple[int, ...] = field(int, repeated=True, doc="the axes that are reduced; without: all")
    keepdims: int = field(int, 1, at_least=0, at_most=1, doc="1: they stay with size 1")


class ReduceL1Params(NormParams, message="reduce_l1_param"):
    """Those of a norm."""


class ReduceL1(AxisReduction):
    """y = Σ |x|      dx = sign(x) dy"""

    type, Params = "ReduceL1", ReduceL1Params

    def reduce(self, x, y):
        self.total(self.xp.abs(x, out=self.work.data), y)

    def spread(self, x, y, dy, dx):
        self.xp.multiply(self.xp.sign(x, out=dx), dy, out=dx)


class ReduceL2Params(NormParams, message="reduce_l2_param"):
    """Those of a norm."""


class ReduceL2(AxisReduction):
    """y = √Σ x²      dx = x dy / y, 0 where y is 0"""

    type, Params = "ReduceL2", ReduceL2Params

    def reduce(self, x, y):
        self.xp.sqrt(self.total(self.xp.square(x, out=self.work.data), y), out=y)

    def spread(self, x, y, dy, dx):
        scale = self.xp.maximum(y, 1e-30, out=self.small.data)
        self.xp.multiply(x, self.xp.divide(dy, scale, out=scale), out=dx)
