"""Softmax."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class SoftmaxParams(Params, message="softmax_param"):
    axis: int = field(int, 1, doc="the axis of the classes; negative counts from the end")
    engine: str = field(
        str,
        "DEFAULT",
        choices=("DEFAULT", "CAFFE", "CUDNN", "ONEDNN"),
        doc="who computes it; CAFFE: the layer's own maths",
    )


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
