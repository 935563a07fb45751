"""Sine and arc tangent, from the forks."""

from __future__ import annotations

from layerforge.layers.pointwise import Pointwise


class Sin(Pointwise):
    """y = sin x

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself
    """

    type = "Sin"
    work, keeps_input = 1, True

    def function(self, x, y):
        self.xp.sin(x, out=y)

    def derivative(self, x, y, dy, dx):
        self.xp.multiply(dy, self.xp.cos(x, out=self.t[0].data), out=dx)


class Atan(Pointwise):
    """y = arctan x

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself
    """

    type = "Atan"
    work, keeps_input = 1, True

    def function(self, x, y):
        self.xp.arctan(x, out=y)

    def derivative(self, x, y, dy, dx):
        t = self.xp.multiply(x, x, out=self.t[0].data)
        self.xp.add(t, 1, out=t)
        self.xp.divide(dy, t, out=dx)
