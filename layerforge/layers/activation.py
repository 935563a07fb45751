"""Activations: pointwise functions that make a net non-linear."""

from __future__ import annotations

from layerforge.layers.engine import engine_field
from layerforge.layers.pointwise import Pointwise, choose
from layerforge.netdef.params import Params, field


class ReLUParams(Params, message="relu_param"):
    negative_slope: float = field(float, 0.0, doc="what negative values are multiplied by; 0 cuts them off")
    relu6: bool = field(bool, False, doc="y is at most 6 (a fork's option)")
    maximum: float = field(float, 0.0, doc="y is at most this, if above 0 (a fork's option)")
    minimum: float = field(float, 0.0, doc="y is at least this, unless 0 (a fork's option)")
    engine: str = engine_field()


class ReLU(Pointwise):
    """y = max(x, 0) + negative_slope · min(x, 0)

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    With relu6, maximum or minimum y is then clipped; where it was, the gradient is 0.
    The gradient at 0 is negative_slope. In place the sign of y counts: that of x, unless negative_slope is negative.
    Source: Nair and Hinton 2010; Caffe's relu_layer.cpp; relu6, maximum, minimum: forks
    """

    type, Params = "ReLU", ReLUParams
    masks = 1

    def setup(self, bottom, top):
        p = self.params
        self.slope = p.negative_slope
        self.work = 1 if self.slope else 0
        upper = [6.0] * p.relu6 + [p.maximum] * (p.maximum > 0)
        self.limits = [(self.xp.minimum, self.xp.less, u) for u in upper]
        self.limits += [(self.xp.maximum, self.xp.greater, p.minimum)] * (p.minimum != 0)

    def function(self, x, y):
        if self.slope:
            other = self.xp.multiply(x, self.slope, out=self.t[0].data)
            (self.xp.maximum if self.slope <= 1 else self.xp.minimum)(x, other, out=y)
        else:
            self.xp.maximum(x, 0, out=y)
        for clip, _, limit in self.limits:
            clip(y, limit, out=y)

    def derivative(self, x, y, dy, dx):
        xp, mask = self.xp, self.m[0].data
        xp.greater(x, 0, out=mask)
        if self.slope:
            leaked = xp.multiply(dy, self.slope, out=self.t[0].data)
            choose(xp, mask, dy, leaked, dx)
        else:
            xp.multiply(dy, mask, out=dx)
        for _, inside, limit in self.limits:
            xp.multiply(dx, inside(y, limit, out=mask), out=dx)


class ReLU6Params(Params, message="relu6_param"):
    threshold: float = field(float, 6.0, above=0, doc="the largest value of the output")


class ReLU6(Pointwise):
    """y = min(max(x, 0), threshold)

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    The gradient passes where 0 < x < threshold.
    Source: MobileNet's forks
    """

    type, Params = "ReLU6", ReLU6Params
    masks = 2

    def function(self, x, y):
        self.xp.maximum(x, 0, out=y)
        self.xp.minimum(y, self.params.threshold, out=y)

    def derivative(self, x, y, dy, dx):
        inside = self.xp.greater(y, 0, out=self.m[0].data)
        below = self.xp.less(y, self.params.threshold, out=self.m[1].data)
        self.xp.logical_and(inside, below, out=inside)
        self.xp.multiply(dy, inside, out=dx)


class SigmoidParams(Params, message="sigmoid_param"):
    engine: str = engine_field()


class Sigmoid(Pointwise):
    """y = 1 / (1 + e^-x)

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    Computed as (1 + tanh(x/2)) / 2, which cannot overflow.
    Source: Caffe's sigmoid_layer.cpp
    """

    type, Params = "Sigmoid", SigmoidParams
    work = 1

    def function(self, x, y):
        sigmoid(self.xp, x, y)

    def derivative(self, x, y, dy, dx):
        t = self.xp.subtract(1, y, out=self.t[0].data)
        self.xp.multiply(t, y, out=t)
        self.xp.multiply(dy, t, out=dx)


def sigmoid(xp, x, out):
    """out = 1 / (1 + e^-x), computed as (1 + tanh(x/2)) / 2, which cannot overflow; out may be x."""
    xp.multiply(x, 0.5, out=out)
    xp.tanh(out, out=out)
    xp.multiply(out, 0.5, out=out)
    xp.add(out, 0.5, out=out)


class TanHParams(Params, message="tanh_param"):
    engine: str = engine_field()


class TanH(Pointwise):
    """y = tanh(x)

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    Source: Caffe's tanh_layer.cpp
    """

    type, Params = "TanH", TanHParams
    work = 1

    def function(self, x, y):
        self.xp.tanh(x, out=y)

    def derivative(self, x, y, dy, dx):
        t = self.xp.multiply(y, y, out=self.t[0].data)
        self.xp.subtract(1, t, out=t)
        self.xp.multiply(dy, t, out=dx)


class ELUParams(Params, message="elu_param"):
    alpha: float = field(float, 1.0, doc="the limit for very negative values is -lambda · alpha")
    lambda_: float = field(float, 1.0, doc="multiplies the whole (NVCaffe)")


class ELU(Pointwise):
    """y = lambda · (x for x > 0, else alpha · (e^x - 1))

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    Source: Clevert et al. 2015; Caffe's elu_layer.cpp
    """

    type, Params = "ELU", ELUParams
    work, masks = 1, 1

    def setup(self, bottom, top):
        p = self.params
        self.keeps_input = p.alpha < 0 or p.lambda_ <= 0  # else y has the sign of x

    def function(self, x, y):
        elu(self.xp, x, self.params.alpha, self.t[0].data, y)
        if self.params.lambda_ != 1:
            self.xp.multiply(y, self.params.lambda_, out=y)

    def derivative(self, x, y, dy, dx):
        xp, p, t = self.xp, self.params, self.t[0].data
        xp.add(y, p.lambda_ * p.alpha, out=t)  # lambda alpha e^x where x is not positive
        xp.multiply(t, dy, out=t)
        if p.lambda_ != 1:
            dy = xp.multiply(dy, p.lambda_, out=dx)
        choose(xp, xp.greater(x, 0, out=self.m[0].data), dy, t, dx)


def elu(xp, x, alpha, t, out):
    """out = x for x > 0, else alpha · (e^x - 1); t is lost."""
    xp.minimum(x, 0, out=t)
    xp.expm1(t, out=t)
    xp.multiply(t, alpha, out=t)
    xp.maximum(x, 0, out=out)
    xp.add(out, t, out=out)


class SwishParams(Params, message="swish_param"):
    beta: float = field(float, 1.0, doc="the slope of the gate")


class Swish(Pointwise):
    """y = x · σ(beta · x),  σ(z) = 1 / (1 + e^-z)

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    Source: Ramachandran et al. 2017; Caffe's swish_layer.cpp
    """

    type, Params = "Swish", SwishParams
    work = 1

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        self.gate = self.kept(bottom[0].shape)

    def function(self, x, y):
        gate = self.xp.multiply(x, self.params.beta, out=self.gate.data)
        sigmoid(self.xp, gate, gate)
        self.xp.multiply(x, gate, out=y)

    def derivative(self, x, y, dy, dx):
        xp, gate = self.xp, self.gate.data
        t = xp.subtract(1, gate, out=self.t[0].data)
        xp.multiply(t, y, out=t)
        xp.multiply(t, self.params.beta, out=t)
        xp.add(t, gate, out=t)  # σ + beta y (1 - σ)
        xp.multiply(dy, t, out=dx)


class BNLL(Pointwise):
    """y = log(1 + e^x)

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    Computed as max(x, 0) + log(1 + e^-|x|), which cannot overflow.
    Source: Caffe's bnll_layer.cpp
    """

    type = "BNLL"
    work, keeps_input = 1, True

    def function(self, x, y):
        xp, t = self.xp, self.t[0].data
        xp.absolute(x, out=t)
        xp.negative(t, out=t)
        xp.exp(t, out=t)
        xp.log1p(t, out=t)
        xp.maximum(x, 0, out=y)
        xp.add(y, t, out=y)

    def derivative(self, x, y, dy, dx):
        t = self.t[0].data
        sigmoid(self.xp, x, t)
        self.xp.multiply(dy, t, out=dx)


class ClipParams(Params, message="clip_param"):
    min: float = field(float, required=True, doc="the least value of the output")
    max: float = field(float, required=True, doc="the largest value of the output")


class Clip(Pointwise):
    """y = max(min, min(x, max))

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    The gradient passes where min ≤ x ≤ max, bounds included.
    Raises LayerError when min is above max.
    Source: Caffe's clip_layer.cpp
    """

    type, Params = "Clip", ClipParams
    masks, keeps_input = 2, True

    def setup(self, bottom, top):
        p = self.params
        self.require(p.min <= p.max, f"min: {p.min:g} is above max: {p.max:g}", hint="exchange the two", field="min")

    def function(self, x, y):
        self.xp.minimum(x, self.params.max, out=y)
        self.xp.maximum(y, self.params.min, out=y)

    def derivative(self, x, y, dy, dx):
        inside = self.xp.greater_equal(x, self.params.min, out=self.m[0].data)
        below = self.xp.less_equal(x, self.params.max, out=self.m[1].data)
        self.xp.logical_and(inside, below, out=inside)
        self.xp.multiply(dy, inside, out=dx)
