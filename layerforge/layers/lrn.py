"""Local response normalisation."""

from __future__ import annotations

from layerforge.core.window import Window
from layerforge.layers.base import Layer
from layerforge.layers.engine import engine_field
from layerforge.netdef.params import Params, field


class LRNParams(Params, message="lrn_param"):
    local_size: int = field(int, 5, at_least=1, doc="n: how many channels, or the side of the square; odd")
    alpha: float = field(float, 1.0, doc="the weight of the sum of squares")
    beta: float = field(float, 0.75, doc="the exponent")
    norm_region: str = field(str, "ACROSS_CHANNELS", choices=("ACROSS_CHANNELS", "WITHIN_CHANNEL"),
                             doc="neighbouring channels, or a square in each plane")
    k: float = field(float, 1.0, doc="added to the sum; WITHIN_CHANNEL always adds 1, as in Caffe")
    engine: str = engine_field()


class LRN(Layer):
    """ACROSS_CHANNELS: y = x · (k + alpha/n Σ x²)^-beta over n neighbouring channels
    WITHIN_CHANNEL:  y = x · (1 + alpha/n² Σ x²)^-beta over an n × n square, zeros outside the plane

    bottom[0]  x (N, C, H, W)
    top[0]     y, the same shape

    Source: Krizhevsky et al. 2012; Caffe's lrn_layer.cpp
    """

    type, Params = "LRN", LRNParams

    def setup(self, bottom, top):
        n = self.params.local_size
        self.require(n % 2 == 1, f"local_size: {n}, must be odd", field="local_size",
                     hint="the neighbours lie evenly on both sides")
        self.across = self.params.norm_region == "ACROSS_CHANNELS"
        self.window = Window.make((n, n), 1, n // 2)

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        self.require(len(shape) == 4, f"bottom[0] has the shape {shape}, it needs 4 axes (N, C, H, W)")
        top[0].reshape(shape)
        self.scale = self.kept(shape)  # what is raised to -beta
        if not self.across:
            self.square, self.power = self.scratch(shape), self.scratch(shape)

    def forward(self, bottom, top):
        p, x, y, scale = self.params, bottom[0].data, top[0].data, self.scale.data
        if self.across:
            self.ops.lrn(x, size=p.local_size, alpha=p.alpha, beta=p.beta, k=p.k, out=y, scale=scale)
            return
        xp, square = self.xp, self.square.data
        xp.multiply(x, x, out=square)
        self.ops.average_pool(square, self.window, out=scale)
        xp.multiply(scale, p.alpha, out=scale)
        xp.add(scale, 1.0, out=scale)
        xp.power(scale, -p.beta, out=y)
        xp.multiply(y, x, out=y)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        p, x, dy, dx, scale = self.params, bottom[0].data, top[0].diff, bottom[0].diff, self.scale.data
        if self.across:
            self.ops.lrn_gradient(dy, x, scale, size=p.local_size, alpha=p.alpha, beta=p.beta, out=dx)
            return
        # dx = dy s^-beta + 2 x · mean-gradient of (-alpha beta) dy x s^(-beta-1), for s = 1 + alpha mean(x²)
        xp, ratio, power = self.xp, self.square.data, self.power.data
        xp.power(scale, -p.beta, out=power)
        xp.multiply(power, dy, out=power)
        xp.multiply(power, x, out=ratio)
        xp.divide(ratio, scale, out=ratio)
        self.ops.average_pool_gradient(ratio, self.window, out=dx)
        xp.multiply(dx, x, out=dx)
        xp.multiply(dx, -2 * p.alpha * p.beta, out=dx)
        xp.add(dx, power, out=dx)
