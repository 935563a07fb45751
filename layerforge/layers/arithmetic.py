"""Arithmetic of two blobs whose shapes are matched from the last axis on, from the forks."""

from __future__ import annotations

from typing import Any

from layerforge.layers.base import Layer

Array = Any


class Arithmetic(Layer):
    """y = f(a, b), an axis that is missing or of length 1 being repeated

    bottom[0]  a
    bottom[1]  b; the shapes are matched from the last axis on
    top[0]     y, of both shapes together

    A subclass names the `function` of the array module, and writes `part` if there is a gradient.
    Raises LayerError for shapes that do not match, or when top[0] is a bottom.
    """

    bottoms, in_place = 2, False
    function = ""

    def reshape(self, bottom, top):
        a, b = (view.shape for view in bottom)
        together = [max(n, m) if 1 in (n, m) and 0 not in (n, m) else n for n, m in zip(_padded(a, b), _padded(b, a))]
        for view in bottom:
            fits = all(n in (1, m) for n, m in zip(reversed(view.shape), reversed(together)))
            self.require(fits, f"bottom[0] is {a}, bottom[1] is {b}: they cannot be matched",
                         hint="axes are matched from the last one on; they must be equal, or one of them 1")
        top[0].reshape(together)
        self.t, self.mask = self.scratch(together), self.scratch(together, bool)
        self.u = [self.scratch(view.shape) for view in bottom]

    def forward(self, bottom, top):
        getattr(self.xp, self.function)(bottom[0].data, bottom[1].data, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        a, b, y, dy = bottom[0].data, bottom[1].data, top[0].data, top[0].diff
        for i, wanted in enumerate(propagate_down):
            if not wanted:
                continue
            shape, dx = bottom[i].shape, bottom[i].diff
            if shape == top[0].shape:
                self.part(i, a, b, y, dy, dx)
                continue
            self.part(i, a, b, y, dy, self.t.data)
            shape = (1,) * (top[0].ndim - len(shape)) + shape
            repeated = tuple(k for k, (n, m) in enumerate(zip(shape, top[0].shape)) if n != m)
            self.xp.sum(self.t.data, axis=repeated, keepdims=True, out=dx.reshape(shape))

    def part(self, i: int, a: Array, b: Array, y: Array, dy: Array, out: Array) -> None:
        """out = dy · ∂y/∂bottom[i], in y's shape."""
        super().backward((), (True,), ())  # raises: no gradient


def _padded(shape, other):
    return (1,) * (max(len(shape), len(other)) - len(shape)) + tuple(shape)


class Add(Arithmetic):
    """y = a + b

    bottom[0]  a
    bottom[1]  b; shapes are matched from the last axis on, an axis that is missing or of length 1 being repeated
    top[0]     y, of both shapes together
    """

    type, function = "Add", "add"

    def part(self, i, a, b, y, dy, out):
        self.xp.copyto(out, dy)


class Sub(Arithmetic):
    """y = a - b

    bottom[0]  a
    bottom[1]  b; shapes are matched from the last axis on, an axis that is missing or of length 1 being repeated
    top[0]     y, of both shapes together
    """

    type, function = "Sub", "subtract"

    def part(self, i, a, b, y, dy, out):
        self.xp.multiply(dy, -1 if i else 1, out=out)


class Mul(Arithmetic):
    """y = a · b

    bottom[0]  a
    bottom[1]  b; shapes are matched from the last axis on, an axis that is missing or of length 1 being repeated
    top[0]     y, of both shapes together
    """

    type, function = "Mul", "multiply"

    def part(self, i, a, b, y, dy, out):
        self.xp.multiply(dy, (b, a)[i], out=out)


class SpatialProduct(Mul):
    """y[n,c,p] = x[n,c,p] · m[n,0,p]

    bottom[0]  x (N, C, H, W)
    bottom[1]  m (N, 1, H, W)
    top[0]     y, the shape of x
    """

    type = "SpatialProduct"

    def reshape(self, bottom, top):
        x, m = (view.shape for view in bottom)
        self.require(len(x) >= 2 and m == (x[0], 1, *x[2:]), f"bottom[1] is {m}, for bottom[0], which is {x}, it must "
                     f"have one channel and the same other axes")
        super().reshape(bottom, top)


class Div(Arithmetic):
    """y = a / b

    bottom[0]  a
    bottom[1]  b; shapes are matched from the last axis on, an axis that is missing or of length 1 being repeated
    top[0]     y, of both shapes together
    """

    type, function = "Div", "divide"

    def part(self, i, a, b, y, dy, out):
        self.xp.divide(dy, b, out=out)
        if i == 1:  # -y / b
            self.xp.multiply(out, y, out=out)
            self.xp.negative(out, out=out)


class Maximum(Arithmetic):
    """y = max(a, b)

    bottom[0]  a
    bottom[1]  b; shapes are matched from the last axis on, an axis that is missing or of length 1 being repeated
    top[0]     y, of both shapes together

    Of equal values the second one gets the gradient, as in Eltwise.
    """

    type, function, wins = "Maximum", "maximum", "greater"

    def part(self, i, a, b, y, dy, out):
        mask = getattr(self.xp, self.wins)(a, b, out=self.mask.data)
        if i == 1:
            self.xp.logical_not(mask, out=mask)
        self.xp.multiply(dy, mask, out=out)


class Minimum(Maximum):
    """y = min(a, b)

    bottom[0]  a
    bottom[1]  b; shapes are matched from the last axis on, an axis that is missing or of length 1 being repeated
    top[0]     y, of both shapes together

    Of equal values the second one gets the gradient, as in Eltwise.
    """

    type, function, wins = "Minimum", "minimum", "less"


class Pow(Arithmetic):
    """y = a^b

    bottom[0]  a, not negative unless b is whole
    bottom[1]  b; shapes are matched from the last axis on, an axis that is missing or of length 1 being repeated
    top[0]     y, of both shapes together
    """

    type, function = "Pow", "power"

    def part(self, i, a, b, y, dy, out):
        xp = self.xp
        if i == 0:  # b a^(b-1)
            less = xp.subtract(b, 1, out=self.u[1].data)
            xp.power(a, less, out=out)
            xp.multiply(out, b, out=out)
        else:  # y log a
            logarithm = xp.log(a, out=self.u[0].data)
            xp.multiply(y, logarithm, out=out)
        xp.multiply(out, dy, out=out)


class FloorDiv(Arithmetic):
    """y = ⌊a / b⌋

    bottom[0]  a
    bottom[1]  b; shapes are matched from the last axis on, an axis that is missing or of length 1 being repeated
    top[0]     y, of both shapes together

    There is no gradient.
    """

    type, function = "FloorDiv", "floor_divide"


class FloorMod(Arithmetic):
    """y = a - b · ⌊a / b⌋

    bottom[0]  a
    bottom[1]  b; shapes are matched from the last axis on, an axis that is missing or of length 1 being repeated
    top[0]     y, of both shapes together

    There is no gradient.
    """

    type, function = "FloorMod", "remainder"
