"""Normalisation of single samples, from the forks."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.layers.batch_statistics import BatchStatistics
from layerforge.layers.fillers import FillerParams
from layerforge.netdef.params import Params, field


class LayerNormParams(Params, message="layer_norm_param"):
    eps: float = field(float, 1e-5, at_least=0, doc="is added to the variance")
    elementwise_affine: bool = field(bool, True, doc="learns a factor and an offset for each value of a sample")


class LayerNorm(BatchStatistics):
    """y[n,d] = γ[d] · (x[n,d] - μ[n]) / √(σ²[n] + eps) + β[d]

    bottom[0]  x (N, *D), d running over all axes but the first
    top[0]     y, the same shape; may be bottom[0] itself
    blobs      γ (*D), β (*D) with elementwise_affine

    Raises LayerError for one axis.
    Source: Ba et al. 2016
    """

    type, Params = "LayerNorm", LayerNormParams

    def setup(self, bottom, top):
        shape = bottom[0].shape
        self.require(len(shape) >= 2, f"bottom[0] is {shape}, at least two axes are needed")
        self.affine = self.params.elementwise_affine
        if self.affine:
            self.scale, self.shift = self.add_blob(shape[1:], FillerParams(value=1.0)), self.add_blob(shape[1:])

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        if self.affine:
            self.require(shape[1:] == self.scale.shape, f"bottom[0] is {shape}, γ was made for {self.scale.shape}")
        top[0].reshape(shape)
        self.buffers((1, shape[0], bottom[0].count(1)), True, top[0].blob is bottom[0].blob)
        self.values = (shape[0], bottom[0].count(1), 1)  # as (N, D, 1)
        self.normal = self.scratch(self.ncl)

    def forward(self, bottom, top):
        x, y = bottom[0].data.reshape(self.ncl), top[0].data.reshape(self.ncl)
        self.measure(x)
        self.standardize(x, y, self.params.eps)
        if self.affine:
            self.xp.multiply(y, self.scale.data.reshape(-1), out=y)
            self.xp.add(y, self.shift.data.reshape(-1), out=y)

    def backward(self, top, propagate_down, bottom):
        xp, dy, normal = self.xp, top[0].diff.reshape(self.ncl), self.normal.data
        if self.affine and self.needs_gradient[0]:
            xp.multiply(self.centred.data, self.factor.data.reshape(-1, 1), out=normal)
            self.ops.channel_dot(dy.reshape(self.values), normal.reshape(self.values), acc=self.scale.diff.reshape(-1))
        if self.affine and self.needs_gradient[1]:
            self.ops.channel_sum(dy.reshape(self.values), acc=self.shift.diff.reshape(-1))
        if propagate_down[0]:
            if self.affine:
                dy = xp.multiply(dy, self.scale.data.reshape(-1), out=normal)
            self.gradients(dy, bottom[0].diff.reshape(self.ncl))


class LpNormalizationParams(Params, message="lp_normalization_param"):
    axis: tuple[int, ...] = field(int, repeated=True, doc="the axes that are summed over")
    p: int = field(int, 2, at_least=1, at_most=2, doc="1: divide by the sum of absolute values, 2: by the length")


class LpNormalization(Layer):
    """y = x / (Σ |x|^p)^(1/p)      along `axis`

    bottom[0]  x, any shape
    top[0]     y, the same shape

    Raises LayerError when no axis is given, or when top[0] is bottom[0].
    """

    type, Params = "LpNormalization", LpNormalizationParams
    in_place = False

    def setup(self, bottom, top):
        self.require(bool(self.params.axis), "axis is missing", hint="name the axes that are summed over")

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        self.axes = tuple(self.axis(a, len(shape)) for a in self.params.axis)
        top[0].reshape(shape)
        each = tuple(1 if i in self.axes else n for i, n in enumerate(shape))
        self.norm, self.dot, self.t = self.kept(each), self.scratch(each), self.scratch(shape)

    def forward(self, bottom, top):
        xp, x, y, norm = self.xp, bottom[0].data, top[0].data, self.norm.data
        square = self.params.p == 2
        xp.multiply(x, x, out=y) if square else xp.absolute(x, out=y)
        xp.sum(y, axis=self.axes, keepdims=True, out=norm)
        if square:
            xp.sqrt(norm, out=norm)
        xp.divide(x, norm, out=y)

    def backward(self, top, propagate_down, bottom):
        """dx = (dy - s · Σ dy · y) / norm, with s = y (p = 2) or the sign of x (p = 1)"""
        if not propagate_down[0]:
            return
        xp, y, dy, dx, t, dot = self.xp, top[0].data, top[0].diff, bottom[0].diff, self.t.data, self.dot.data
        xp.multiply(dy, y, out=t)
        xp.sum(t, axis=self.axes, keepdims=True, out=dot)
        if self.params.p == 1:
            y = xp.sign(bottom[0].data, out=t)
        xp.multiply(y, dot, out=t)
        xp.subtract(dy, t, out=dx)
        xp.divide(dx, self.norm.data, out=dx)
