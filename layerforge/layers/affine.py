"""Scale and Bias: one factor or offset per index of some axes."""

from __future__ import annotations

import math

from layerforge.layers.base import Layer
from layerforge.layers.fillers import FillerParams
from layerforge.netdef.params import Params, field


class _Broadcast(Layer):
    """A second operand whose axes are the axes axis … of bottom[0]: given as bottom[1], or learned."""

    bottoms = (1, 2)

    def learned_shape(self, shape):
        """The shape of a learned operand for bottom[0] of this shape."""
        p, first = self.params, self.axis(self.params.axis, len(shape))
        last = len(shape) if p.num_axes == -1 else first + p.num_axes
        self.require(last <= len(shape), f"axis {first} and num_axes: {p.num_axes} reach past bottom[0] {shape}",
                     hint="num_axes: -1 takes all axes from `axis` on", field="num_axes")
        return shape[first:last]

    def fold(self, shape, operand):
        """bottom[0]'s shape as (outer, operand, inner)."""
        first = self.axis(self.params.axis, len(shape)) if operand else 0  # a scalar fits everywhere
        end = first + len(operand)
        self.require(tuple(shape[first:end]) == tuple(operand),
                     f"bottom[0] is {tuple(shape)}, from axis {first} on it must be {tuple(operand)}",
                     hint="set `axis` to the axis of bottom[0] that the operand's first axis stands for")
        return math.prod(shape[:first]), math.prod(operand), math.prod(shape[end:])


class BiasParams(Params, message="bias_param"):
    axis: int = field(int, 1, doc="the axis of bottom[0] that the bias's first axis stands for")
    num_axes: int = field(int, 1, at_least=-1, doc="how many axes a learned bias has; -1: all from `axis`, 0: none")
    filler: FillerParams = field(FillerParams, FillerParams(), doc="how a learned bias starts")


class Bias(_Broadcast):
    """y[o,m,i] = x[o,m,i] + b[m]      (o, m, i: the axes before, of and behind b)

    bottom[0]  x, any shape
    bottom[1]  b (optional), the shape of x from `axis` on; num_axes does not count then
    top[0]     y, the shape of x; may be bottom[0] itself
    blobs      b, when there is no bottom[1]

    Raises LayerError when b does not fit x.
    Source: Caffe's bias_layer.cpp
    """

    type, Params = "Bias", BiasParams

    def setup(self, bottom, top):
        self.b = self.add_blob(self.learned_shape(bottom[0].shape), self.params.filler) if len(bottom) == 1 else None

    def reshape(self, bottom, top):
        self.omi = self.fold(bottom[0].shape, (self.b or bottom[1]).shape)
        top[0].reshape(bottom[0].shape)

    def forward(self, bottom, top):
        b = (self.b or bottom[1]).data.reshape(1, -1, 1)
        self.xp.add(bottom[0].data.reshape(self.omi), b, out=top[0].data.reshape(self.omi))

    def backward(self, top, propagate_down, bottom):
        dy = top[0].diff.reshape(self.omi)
        if self.b and self.needs_gradient[0]:
            self.ops.channel_sum(dy, acc=self.b.diff.reshape(-1))
        elif not self.b and propagate_down[1]:
            self.ops.channel_sum(dy, out=bottom[1].diff.reshape(-1))
        if propagate_down[0] and top[0].blob is not bottom[0].blob:
            self.xp.copyto(bottom[0].diff, top[0].diff)


class ScaleParams(Params, message="scale_param"):
    axis: int = field(int, 1, doc="the axis of bottom[0] that the scale's first axis stands for")
    num_axes: int = field(int, 1, at_least=-1, doc="how many axes a learned scale has; -1: all from `axis`, 0: none")
    filler: FillerParams = field(FillerParams, FillerParams(value=1.0), doc="how a learned scale starts; else at 1")
    bias_term: bool = field(bool, False, doc="adds a learned offset of the scale's shape")
    bias_filler: FillerParams = field(FillerParams, FillerParams(), doc="how the offset starts")


class Scale(_Broadcast):
    """y[o,m,i] = x[o,m,i] · s[m] + b[m]      (o, m, i: the axes before, of and behind s)

    bottom[0]  x, any shape
    bottom[1]  s (optional), the shape of x from `axis` on; num_axes does not count then
    top[0]     y, the shape of x; may be bottom[0] itself (a copy of x is kept then)
    blobs      s, when there is no bottom[1]; b of the same shape when bias_term

    Raises LayerError when s does not fit x.
    Source: Caffe's scale_layer.cpp
    """

    type, Params = "Scale", ScaleParams

    def setup(self, bottom, top):
        p, shape = self.params, bottom[0].shape
        self.s = self.add_blob(self.learned_shape(shape), p.filler) if len(bottom) == 1 else None
        self.b = self.add_blob((self.s or bottom[1]).shape, p.bias_filler) if p.bias_term else None

    def reshape(self, bottom, top):
        self.omi = self.fold(bottom[0].shape, (self.s or bottom[1]).shape)
        top[0].reshape(bottom[0].shape)
        self.saved = self.kept(self.omi) if top[0].blob is bottom[0].blob else None

    def forward(self, bottom, top):
        x, y = bottom[0].data.reshape(self.omi), top[0].data.reshape(self.omi)
        if self.saved:
            self.xp.copyto(self.saved.data, x)
        self.xp.multiply(x, (self.s or bottom[1]).data.reshape(1, -1, 1), out=y)
        if self.b:
            self.xp.add(y, self.b.data.reshape(1, -1, 1), out=y)

    def backward(self, top, propagate_down, bottom):
        dy = top[0].diff.reshape(self.omi)
        if self.b and self.needs_gradient[-1]:
            self.ops.channel_sum(dy, acc=self.b.diff.reshape(-1))
        x = self.saved.data if self.saved else bottom[0].data.reshape(self.omi)
        if self.s and self.needs_gradient[0]:
            self.ops.channel_dot(dy, x, acc=self.s.diff.reshape(-1))
        elif not self.s and propagate_down[1]:
            self.ops.channel_dot(dy, x, out=bottom[1].diff.reshape(-1))
        if propagate_down[0]:
            s = (self.s or bottom[1]).data.reshape(1, -1, 1)
            self.xp.multiply(dy, s, out=bottom[0].diff.reshape(self.omi))
