"""Smooth activations of the forks."""

from __future__ import annotations

from layerforge.layers.activation import BNLL, elu, sigmoid
from layerforge.layers.pointwise import Pointwise, choose
from layerforge.netdef.params import Params, field


class Softplus(BNLL):
    """y = log(1 + e^x)

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    BNLL by its other name.
    """

    type = "Softplus"


class Softsign(Pointwise):
    """y = x / (1 + |x|)

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself
    """

    type = "Softsign"
    work = 1

    def function(self, x, y):
        t = self.xp.absolute(x, out=self.t[0].data)
        self.xp.add(t, 1, out=t)
        self.xp.divide(x, t, out=y)

    def derivative(self, x, y, dy, dx):
        """(1 - |y|)²"""
        t = self.xp.absolute(y, out=self.t[0].data)
        self.xp.subtract(1, t, out=t)
        self.xp.multiply(t, t, out=t)
        self.xp.multiply(dy, t, out=dx)


class Mish(Pointwise):
    """y = x · tanh(log(1 + e^x))

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    Source: Misra 2019
    """

    type = "Mish"
    work, keeps_input = 2, True

    def function(self, x, y):
        self.xp.multiply(x, self._gate(x), out=y)

    def derivative(self, x, y, dy, dx):
        """g + x σ(x) (1 - g²) with g = tanh(log(1 + e^x))"""
        xp, gate, t = self.xp, self._gate(x), self.t[1].data
        sigmoid(xp, x, t)
        xp.multiply(t, x, out=t)
        xp.multiply(t, dy, out=t)  # dy x σ
        xp.multiply(dy, gate, out=dx)
        xp.multiply(gate, gate, out=gate)
        xp.subtract(1, gate, out=gate)
        xp.multiply(t, gate, out=t)
        xp.add(dx, t, out=dx)

    def _gate(self, x):
        """tanh(max(x, 0) + log(1 + e^-|x|)), which cannot overflow."""
        xp, gate, t = self.xp, self.t[0].data, self.t[1].data
        xp.absolute(x, out=gate)
        xp.negative(gate, out=gate)
        xp.exp(gate, out=gate)
        xp.log1p(gate, out=gate)
        xp.maximum(x, 0, out=t)
        xp.add(gate, t, out=gate)
        xp.tanh(gate, out=gate)
        return gate


class SeLUParams(Params, message="selu_param"):
    lambda_: float = field(float, 1.05070102, doc="multiplies the whole")
    alpha: float = field(float, 1.67326319, doc="the limit for very negative values is -lambda · alpha")


class SeLU(Pointwise):
    """y = lambda · (x for x > 0, else alpha · (e^x - 1))

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    Source: Klambauer et al. 2017
    """

    type, Params = "SeLU", SeLUParams
    work, masks, keeps_input = 1, 1, True

    def function(self, x, y):
        elu(self.xp, x, self.params.alpha, self.t[0].data, y)
        self.xp.multiply(y, self.params.lambda_, out=y)

    def derivative(self, x, y, dy, dx):
        xp, p, t = self.xp, self.params, self.t[0].data
        xp.minimum(x, 0, out=t)
        xp.exp(t, out=t)
        xp.multiply(t, p.alpha, out=t)
        xp.multiply(t, dy, out=t)
        choose(xp, xp.greater(x, 0, out=self.m[0].data), dy, t, dx)
        xp.multiply(dx, p.lambda_, out=dx)


class ScaledTanHParams(Params, message="scaled_tanh_param"):
    alpha: float = field(float, required=True, doc="multiplies the result")
    beta: float = field(float, required=True, doc="multiplies x")


class ScaledTanH(Pointwise):
    """y = alpha · tanh(beta · x)

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself
    """

    type, Params = "ScaledTanH", ScaledTanHParams
    work, keeps_input = 1, True

    def function(self, x, y):
        self.xp.multiply(x, self.params.beta, out=y)
        self.xp.tanh(y, out=y)
        self.xp.multiply(y, self.params.alpha, out=y)

    def derivative(self, x, y, dy, dx):
        """alpha beta (1 - tanh²)"""
        xp, p, t = self.xp, self.params, self.t[0].data
        xp.multiply(x, p.beta, out=t)
        xp.tanh(t, out=t)
        xp.multiply(t, t, out=t)
        xp.subtract(1, t, out=t)
        xp.multiply(t, p.alpha * p.beta, out=t)
        xp.multiply(dy, t, out=dx)
