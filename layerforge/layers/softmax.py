"""Softmax and its logarithm."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.layers.engine import engine_field
from layerforge.netdef.params import Params, field


class SoftmaxParams(Params, message="softmax_param"):
    axis: int = field(int, 1, doc="the axis of the classes; negative counts from the end")
    engine: str = engine_field()


class Softmax(Layer):
    """y[c] = exp x[c] / Σ_j exp x[j]      dx = y (dy - Σ_j dy[j] y[j])      along `axis`

    bottom[0]  x (*outer, C, *inner)
    top[0]     y, like x
    """

    type, Params = "Softmax", SoftmaxParams

    def reshape(self, bottom, top):
        axis = self.axis(self.params.axis, bottom[0].ndim)
        top[0].reshape(bottom[0].shape)
        self.view = (bottom[0].count(0, axis), bottom[0].shape[axis], bottom[0].count(axis + 1))  # (outer, C, inner)

    def forward(self, bottom, top):
        self.ops.softmax(bottom[0].data.reshape(self.view), out=top[0].data.reshape(self.view))

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            y, dy = top[0].data.reshape(self.view), top[0].diff.reshape(self.view)
            self.ops.softmax_gradient(y, dy, out=bottom[0].diff.reshape(self.view))


class LogSoftmaxParams(Params, message="log_softmax_param"):
    axis: int = field(int, 1, doc="the axis of the classes; negative counts from the end")


class LogSoftmax(Layer):
    """y[c] = x[c] - log Σ_j exp x[j]      dx[c] = dy[c] - exp y[c] Σ_j dy[j]      along `axis`

    bottom[0]  x (*outer, C, *inner)
    top[0]     y, like x
    """

    type, Params = "LogSoftmax", LogSoftmaxParams

    def reshape(self, bottom, top):
        axis = self.axis(self.params.axis, bottom[0].ndim)
        top[0].reshape(bottom[0].shape)
        outer, inner = bottom[0].count(0, axis), bottom[0].count(axis + 1)
        self.view = (outer, bottom[0].shape[axis], inner)  # (outer, C, inner)
        self.work, self.sums = self.scratch(self.view), self.scratch((outer, 1, inner))

    def forward(self, bottom, top):
        xp, y, work, sums = self.xp, top[0].data.reshape(self.view), self.work.data, self.sums.data
        x = bottom[0].data.reshape(self.view)
        xp.subtract(x, xp.amax(x, axis=1, keepdims=True, out=sums), out=y)
        xp.sum(xp.exp(y, out=work), axis=1, keepdims=True, out=sums)
        xp.subtract(y, xp.log(sums, out=sums), out=y)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        xp, work, sums = self.xp, self.work.data, self.sums.data
        y, dy = top[0].data.reshape(self.view), top[0].diff.reshape(self.view)
        xp.sum(dy, axis=1, keepdims=True, out=sums)
        xp.multiply(xp.exp(y, out=work), sums, out=work)
        xp.subtract(dy, work, out=bottom[0].diff.reshape(self.view))
