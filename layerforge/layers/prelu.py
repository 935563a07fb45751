"""ReLU with a learned slope."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.layers.fillers import FillerParams
from layerforge.layers.pointwise import choose
from layerforge.netdef.params import Params, field


class PReLUParams(Params, message="prelu_param"):
    filler: FillerParams = field(FillerParams, FillerParams(value=0.25), doc="how the slopes start; 0.25 unless given")
    channel_shared: bool = field(bool, False, doc="one slope for all channels")


class PReLU(Layer):
    """y[n,c] = max(x[n,c], 0) + a[c] · min(x[n,c], 0)

    bottom[0]  x (N, C, ...)
    top[0]     y, the same shape; may be bottom[0] itself (a copy of x is kept then)
    blobs      a (C,), or () with channel_shared

    Raises LayerError when x has less than two axes.
    Source: He et al. 2015; Caffe's prelu_layer.cpp
    """

    type, Params = "PReLU", PReLUParams

    def setup(self, bottom, top):
        self._check(bottom)
        self.slope = self.add_blob(() if self.params.channel_shared else (bottom[0].shape[1],), self.params.filler)

    def reshape(self, bottom, top):
        self._check(bottom)
        shape = bottom[0].shape
        shared = self.params.channel_shared
        self.require(shared or shape[1] == self.slope.shape[0],
                     f"bottom[0] has {shape[1]} channels, there are {self.slope.count()} slopes")
        self.ncl = (1, 1, bottom[0].count()) if shared else (*shape[:2], bottom[0].count(2))
        top[0].reshape(shape)
        self.saved = self.kept(self.ncl) if top[0].blob is bottom[0].blob else None
        self.t, self.mask = self.scratch(self.ncl), self.scratch(self.ncl, bool)

    def _check(self, bottom):
        self.require(bottom[0].ndim >= 2, f"bottom[0] is {bottom[0].shape}, at least two axes are needed")

    def forward(self, bottom, top):
        xp, a = self.xp, self.slope.data.reshape(1, -1, 1)
        x, y = bottom[0].data.reshape(self.ncl), top[0].data.reshape(self.ncl)
        if self.saved:
            xp.copyto(self.saved.data, x)
        negative = xp.minimum(x, 0, out=self.t.data)
        xp.multiply(negative, a, out=negative)
        xp.maximum(x, 0, out=y)
        xp.add(y, negative, out=y)

    def backward(self, top, propagate_down, bottom):
        xp, t, mask = self.xp, self.t.data, self.mask.data
        x = self.saved.data if self.saved else bottom[0].data.reshape(self.ncl)
        dy = top[0].diff.reshape(self.ncl)
        if self.needs_gradient[0]:
            self.ops.channel_dot(dy, xp.minimum(x, 0, out=t), acc=self.slope.diff.reshape(-1))
        if propagate_down[0]:
            dx = bottom[0].diff.reshape(self.ncl)
            leaked = xp.multiply(dy, self.slope.data.reshape(1, -1, 1), out=t)
            choose(xp, xp.greater(x, 0, out=mask), dy, leaked, dx)
