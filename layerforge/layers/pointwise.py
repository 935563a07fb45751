"""What layers that map each value by itself share."""

from __future__ import annotations

from typing import Any, ClassVar

from layerforge.layers.base import Layer

Array = Any


class Pointwise(Layer):
    """y[i] = f(x[i])

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    A subclass writes `function` and `derivative`.
      keeps_input  the gradient needs x: working in place then keeps a copy
      work         how many scratch arrays of x's shape the two functions use, as `self.t[0]`, ...
      masks        the same for arrays of booleans, as `self.m[0]`, ...
    """

    keeps_input: ClassVar[bool] = False
    work: ClassVar[int] = 0
    masks: ClassVar[int] = 0

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        top[0].reshape(shape)
        self.in_place = top[0].blob is bottom[0].blob
        self.saved = self.kept(shape) if self.in_place and self.keeps_input else None
        self.t = [self.scratch(shape) for _ in range(self.work)]
        self.m = [self.scratch(shape, bool) for _ in range(self.masks)]

    def forward(self, bottom, top):
        y = top[0].data
        x = y if self.in_place else bottom[0].data
        if self.saved:
            self.xp.copyto(self.saved.data, x)
        self.function(x, y)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            x = self.saved.data if self.saved else bottom[0].data
            dy = top[0].diff
            self.derivative(x, top[0].data, dy, dy if self.in_place else bottom[0].diff)

    def function(self, x: Array, y: Array) -> None:
        """Writes y = f(x); y may be x."""
        raise NotImplementedError

    def derivative(self, x: Array, y: Array, dy: Array, dx: Array) -> None:
        """Writes dx = dy · f'(x); dx may be dy. In place, x is y unless the layer keeps its input."""
        super().backward((), (True,), ())  # raises: no gradient


def choose(xp: Any, where: Array, a: Array, b: Array, out: Array) -> None:
    """out = a where the condition holds, else b. `where` and `b` are lost; out may be a."""
    xp.multiply(a, where, out=out)
    xp.logical_not(where, out=where)
    xp.multiply(b, where, out=b)
    xp.add(out, b, out=out)
