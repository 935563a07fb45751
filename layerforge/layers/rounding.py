"""Whole numbers, from the forks. There is no gradient."""

from __future__ import annotations

from layerforge.layers.pointwise import Pointwise


class Ceil(Pointwise):
    """y = ⌈x⌉

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself
    """

    type = "Ceil"

    def function(self, x, y):
        self.xp.ceil(x, out=y)


class Floor(Pointwise):
    """y = ⌊x⌋

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself
    """

    type = "Floor"

    def function(self, x, y):
        self.xp.floor(x, out=y)


class Round(Pointwise):
    """y = the nearest whole number, the even one of two

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself
    """

    type = "Round"

    def function(self, x, y):
        self.xp.rint(x, out=y)
