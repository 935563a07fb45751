"""Activations made of straight lines, from the forks."""

from __future__ import annotations

from layerforge.layers.pointwise import Pointwise
from layerforge.netdef.params import Params, field


class HardSigmoidParams(Params, message="hard_sigmoid_param"):
    alpha: float = field(float, 0.2, doc="the slope")
    beta: float = field(float, 0.5, doc="the value at 0")


class HardSigmoid(Pointwise):
    """y = min(max(alpha · x + beta, 0), 1)

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    The gradient passes where 0 < y < 1.
    """

    type, Params = "HardSigmoid", HardSigmoidParams
    masks = 2

    def function(self, x, y):
        self.xp.multiply(x, self.params.alpha, out=y)
        self.xp.add(y, self.params.beta, out=y)
        between(self.xp, y, 0, 1)

    def derivative(self, x, y, dy, dx):
        pass_inside(self, y, 0, 1, dy, dx)
        self.xp.multiply(dx, self.params.alpha, out=dx)


class HardTanH(Pointwise):
    """y = min(max(x, -1), 1)

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    The gradient passes where -1 < y < 1.
    """

    type = "HardTanH"
    masks = 2

    def function(self, x, y):
        if x is not y:
            self.xp.copyto(y, x)
        between(self.xp, y, -1, 1)

    def derivative(self, x, y, dy, dx):
        pass_inside(self, y, -1, 1, dy, dx)


class HardSwish(Pointwise):
    """y = x · min(max(x/6 + 1/2, 0), 1)

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    Source: Howard et al. 2019 (MobileNetV3)
    """

    type = "HardSwish"
    work, masks, keeps_input = 1, 2, True

    def function(self, x, y):
        gate = self._gate(x)
        self.xp.multiply(x, gate, out=y)

    def derivative(self, x, y, dy, dx):
        """gate(x) + x/6 where the gate is open in part, else gate(x)."""
        xp, gate = self.xp, self._gate(x)
        open_in_part = xp.greater(gate, 0, out=self.m[0].data)
        below = xp.less(gate, 1, out=self.m[1].data)
        xp.logical_and(open_in_part, below, out=below)
        xp.multiply(gate, dy, out=gate)
        xp.multiply(dy, below, out=dx)
        xp.multiply(dx, x, out=dx)
        xp.multiply(dx, 1 / 6, out=dx)
        xp.add(dx, gate, out=dx)

    def _gate(self, x):
        gate = self.xp.multiply(x, 1 / 6, out=self.t[0].data)
        self.xp.add(gate, 0.5, out=gate)
        between(self.xp, gate, 0, 1)
        return gate


class ThresholdedReLUParams(Params, message="thresholded_relu_param"):
    alpha: float = field(float, 1.0, doc="values must be above it to pass")


class ThresholdedReLU(Pointwise):
    """y = x if x > alpha, else 0

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself
    """

    type, Params = "ThresholdedReLU", ThresholdedReLUParams
    masks, keeps_input = 1, True

    def function(self, x, y):
        self.xp.multiply(x, self.xp.greater(x, self.params.alpha, out=self.m[0].data), out=y)

    def derivative(self, x, y, dy, dx):
        self.xp.multiply(dy, self.xp.greater(x, self.params.alpha, out=self.m[0].data), out=dx)


def between(xp, y, low, high):
    """y = min(max(y, low), high)"""
    xp.maximum(y, low, out=y)
    xp.minimum(y, high, out=y)


def pass_inside(layer, y, low, high, dy, dx):
    """dx = dy where low < y < high, else 0."""
    inside = layer.xp.greater(y, low, out=layer.m[0].data)
    below = layer.xp.less(y, high, out=layer.m[1].data)
    layer.xp.logical_and(inside, below, out=inside)
    layer.xp.multiply(dy, inside, out=dx)
