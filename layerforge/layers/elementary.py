"""Elementary functions: powers, exponentials, logarithms, absolute values, thresholds."""

from __future__ import annotations

import logging
import math

from layerforge.layers.pointwise import Pointwise
from layerforge.netdef.params import Params, field

log = logging.getLogger("layerforge")


class PowerParams(Params, message="power_param"):
    power: float = field(float, 1.0, doc="the exponent")
    scale: float = field(float, 1.0, doc="multiplies x")
    shift: float = field(float, 0.0, doc="is added to scale · x")


class Power(Pointwise):
    """y = (shift + scale · x)^power

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    With power · scale = 0 the result is a constant and the gradient 0. If power is no whole number, the gradient is
    power · scale · y / (shift + scale · x), which is NaN where the base is 0, as in Caffe. In place with power 1 Caffe
    overwrites the gradient above before it reads it, so that dx = scale² everywhere: kept, because recorded trainings
    have it, and warned of.
    Source: Caffe's power_layer.cpp
    """

    type, Params = "Power", PowerParams
    work = 1

    def setup(self, bottom, top):
        p = self.params
        self.slope = p.power * p.scale
        self.keeps_input = self.slope != 0 and p.power != 1
        self.warned = False

    def function(self, x, y):
        p = self.params
        if self.slope == 0:
            y.fill(1.0 if p.power == 0 else _real_power(p.shift, p.power))
            return
        self._base(x, y)
        self._raise(y, p.power)

    def derivative(self, x, y, dy, dx):
        xp, p = self.xp, self.params
        if self.slope == 0:
            dx.fill(0)
        elif p.power == 1 and self.in_place:
            self._warn_of_caffes_gradient()
            dx.fill(self.slope**2)
        elif p.power == 1:
            xp.multiply(dy, self.slope, out=dx)
        else:
            t = self.t[0].data
            self._base(x, t)
            if p.power == int(p.power) and p.power > 1:
                self._raise(t, p.power - 1)
            else:
                xp.divide(y, t, out=t)
            xp.multiply(t, self.slope, out=t)
            xp.multiply(dy, t, out=dx)

    def _warn_of_caffes_gradient(self):
        if not self.warned:
            self.warned = True
            log.warning("%s: %s works in place with power 1: its gradient is scale² whatever the loss says, as in "
                        "Caffe; give it a top of its own for the true gradient", self.definition.where, self.definition)

    def _base(self, x, out):
        p = self.params
        if p.scale != 1:
            self.xp.multiply(x, p.scale, out=out)
        elif x is not out:
            self.xp.copyto(out, x)
        if p.shift:
            self.xp.add(out, p.shift, out=out)

    def _raise(self, t, power):
        if power == 2:
            self.xp.multiply(t, t, out=t)
        elif power != 1:
            self.xp.power(t, power, out=t)


def _real_power(base, exponent):
    """C's pow for the constant case: NaN and infinity instead of errors."""
    try:
        return math.pow(base, exponent)
    except ValueError:
        return math.inf if base == 0 else math.nan
    except OverflowError:
        return math.inf


def _log_base(layer):
    """ln(base), with -1 for e."""
    base = layer.params.base
    layer.require(base == -1 or base > 0, f"base: {base:g}, must be above 0", hint="-1 stands for e", field="base")
    return 1.0 if base == -1 else math.log(base)


class ExpParams(Params, message="exp_param"):
    base: float = field(float, -1.0, doc="the base; -1 stands for e")
    scale: float = field(float, 1.0, doc="multiplies x")
    shift: float = field(float, 0.0, doc="is added to scale · x")


class Exp(Pointwise):
    """y = base^(shift + scale · x)

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    Raises LayerError for a base that is neither positive nor -1.
    Source: Caffe's exp_layer.cpp
    """

    type, Params = "Exp", ExpParams

    def setup(self, bottom, top):
        log_base = _log_base(self)
        self.inner = log_base * self.params.scale
        self.outer = math.exp(log_base * self.params.shift)

    def function(self, x, y):
        if self.inner != 1:
            x = self.xp.multiply(x, self.inner, out=y)
        self.xp.exp(x, out=y)
        if self.outer != 1:
            self.xp.multiply(y, self.outer, out=y)

    def derivative(self, x, y, dy, dx):
        self.xp.multiply(y, dy, out=dx)
        if self.inner != 1:
            self.xp.multiply(dx, self.inner, out=dx)


class LogParams(Params, message="log_param"):
    base: float = field(float, -1.0, doc="the base; -1 stands for e")
    scale: float = field(float, 1.0, doc="multiplies x")
    shift: float = field(float, 0.0, doc="is added to scale · x")


class Log(Pointwise):
    """y = log_base(shift + scale · x)

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    Raises LayerError for a base that is neither positive nor -1, or is 1.
    Source: Caffe's log_layer.cpp
    """

    type, Params = "Log", LogParams
    work, keeps_input = 1, True

    def setup(self, bottom, top):
        self.log_base = _log_base(self)
        self.require(self.log_base != 0, "base: 1, must not be 1", hint="-1 stands for e", field="base")

    def function(self, x, y):
        self._argument(x, y)
        self.xp.log(y, out=y)
        if self.log_base != 1:
            self.xp.multiply(y, 1 / self.log_base, out=y)

    def derivative(self, x, y, dy, dx):
        t = self.t[0].data
        self._argument(x, t)
        self.xp.divide(dy, t, out=dx)
        if self.params.scale != self.log_base:
            self.xp.multiply(dx, self.params.scale / self.log_base, out=dx)

    def _argument(self, x, out):
        self.xp.multiply(x, self.params.scale, out=out)
        if self.params.shift:
            self.xp.add(out, self.params.shift, out=out)


class AbsVal(Pointwise):
    """y = |x|

    bottom[0]  x, any shape
    top[0]     y, the same shape; not bottom[0] itself

    The gradient at 0 is 0.
    Raises LayerError when top[0] is bottom[0].
    Source: Caffe's absval_layer.cpp
    """

    type = "AbsVal"
    in_place = False

    def function(self, x, y):
        self.xp.absolute(x, out=y)

    def derivative(self, x, y, dy, dx):
        self.xp.sign(x, out=dx)
        self.xp.multiply(dx, dy, out=dx)


class ThresholdParams(Params, message="threshold_param"):
    threshold: float = field(float, 0.0, doc="values above it give 1")


class Threshold(Pointwise):
    """y = 1 if x > threshold, else 0

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    There is no gradient.
    Source: Caffe's threshold_layer.cpp
    """

    type, Params = "Threshold", ThresholdParams

    def function(self, x, y):
        self.xp.greater(x, self.params.threshold, out=y)
