"""Vectors of length one, times a learned scale."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.layers.fillers import FillerParams
from layerforge.netdef.params import Params, field


class NormalizeParams(Params, message="norm_param"):
    across_spatial: bool = field(bool, True, doc="one norm for a picture; false: one for each position")
    channel_shared: bool = field(bool, True, doc="one scale for all channels")
    scale_filler: FillerParams = field(FillerParams, FillerParams(value=1.0), doc="how the scale starts; else at 1")
    eps: float = field(float, 1e-10, at_least=0, doc="is added to the sum of squares")
    add_eps_before_sqrt: bool = field(bool, True, doc="false: eps is added to the norm instead")


class Normalize(Layer):
    """y[n,c,l] = s[c] · x[n,c,l] / √(Σ x² + eps), the sum over c, and over l with across_spatial

    bottom[0]  x (N, C, ...), l being the position
    top[0]     y, the same shape
    blobs      s (C,), or () with channel_shared

    With r = √(Σ x² + eps) the gradient is dx = s · (dy - x · Σ(dy · x) / r²) / r. For a scale per channel that is SSD's
    rule rather than the exact gradient, in which s would stand inside the sum.

    Raises LayerError for one axis, or when top[0] is bottom[0].
    Source: Liu et al. 2016 (SSD), normalize_layer.cpp of its fork
    """

    type, Params = "Normalize", NormalizeParams
    in_place = False

    def setup(self, bottom, top):
        shape = bottom[0].shape
        self.require(len(shape) >= 2, f"bottom[0] is {shape}, at least two axes are needed")
        self.s = self.add_blob(() if self.params.channel_shared else (shape[1],), self.params.scale_filler)

    def reshape(self, bottom, top):
        shape, p = bottom[0].shape, self.params
        self.require(p.channel_shared or shape[1] == self.s.count(),
                     f"bottom[0] has {shape[1]} channels, s is {self.s.shape}")
        top[0].reshape(shape)
        self.ncl = (shape[0], shape[1], bottom[0].count(2))
        self.axes = (1, 2) if p.across_spatial else 1
        each = (shape[0], 1, 1 if p.across_spatial else self.ncl[2])
        self.norm, self.dot, self.t = self.kept(each), self.scratch(each), self.scratch(self.ncl)

    def forward(self, bottom, top):
        xp, p = self.xp, self.params
        x, y, norm = bottom[0].data.reshape(self.ncl), top[0].data.reshape(self.ncl), self.norm.data
        xp.multiply(x, x, out=y)
        xp.sum(y, axis=self.axes, keepdims=True, out=norm)
        if p.add_eps_before_sqrt:
            xp.add(norm, p.eps, out=norm)
        xp.sqrt(norm, out=norm)
        if not p.add_eps_before_sqrt:
            xp.add(norm, p.eps, out=norm)
        xp.divide(x, norm, out=y)
        xp.multiply(y, self.s.data.reshape(1, -1, 1), out=y)

    def backward(self, top, propagate_down, bottom):
        xp, x, dy = self.xp, bottom[0].data.reshape(self.ncl), top[0].diff.reshape(self.ncl)
        t, norm, dot = self.t.data, self.norm.data, self.dot.data
        if self.needs_gradient[0]:
            rows = (1, 1, bottom[0].count()) if self.params.channel_shared else self.ncl
            xp.divide(x, norm, out=t)
            self.ops.channel_dot(t.reshape(rows), dy.reshape(rows), acc=self.s.diff.reshape(-1))
        if propagate_down[0]:
            dx = bottom[0].diff.reshape(self.ncl)
            xp.multiply(x, dy, out=t)
            xp.sum(t, axis=self.axes, keepdims=True, out=dot)
            xp.divide(dot, norm, out=dot)
            xp.divide(dot, norm, out=dot)
            xp.multiply(x, dot, out=t)
            xp.subtract(dy, t, out=dx)
            xp.divide(dx, norm, out=dx)
            xp.multiply(dx, self.s.data.reshape(1, -1, 1), out=dx)
