"""Several blobs of one shape into one."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class EltwiseParams(Params, message="eltwise_param"):
    operation: str = field(str, "SUM", choices=("PROD", "SUM", "MAX", "DIV", "MIN"), doc="what is done")
    coeff: tuple[float, ...] = field(float, repeated=True, doc="a factor per bottom (SUM); 1 without")
    stable_prod_grad: bool = field(bool, True, doc="PROD's gradient multiplies the other bottoms; else it is y / x")


class Eltwise(Layer):
    """y = Π_k x_k   |   Σ_k coeff_k · x_k   |   max_k x_k   |   x_0 / Π_k>0 x_k   |   min_k x_k

    bottom[k]  x_k, all of one shape, at least two
    top[0]     y, the same shape; with SUM it may be one of the bottoms

    MAX: of the first two bottoms a tie goes to the second, a later one must be larger. The winner gets the gradient.
    MIN goes the same way.
    Raises LayerError for shapes that differ, for coefficients without SUM or in another number than the bottoms, and
    for work in place without SUM.
    Source: Caffe's eltwise_layer.cpp; DIV and MIN: forks
    """

    type, Params = "Eltwise", EltwiseParams
    bottoms = (2, None)

    def setup(self, bottom, top):
        p = self.params
        self.require(not p.coeff or p.operation == "SUM", f"coeff is for SUM, the operation is {p.operation}",
                     field="coeff")
        self.require(len(p.coeff) in (0, len(bottom)), f"{len(p.coeff)} coefficients for {len(bottom)} bottoms",
                     hint="give one coeff per bottom, or none", field="coeff")
        self.coeff = p.coeff or (1.0,) * len(bottom)

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        for i, view in enumerate(bottom):
            self.require(view.shape == shape, f"bottom[{i}] is {view.shape}, bottom[0] is {shape}",
                         hint="all bottoms need one shape; see the layers that make them")
        inside = [i for i, view in enumerate(bottom) if view.blob is top[0].blob]
        self.require(self.params.operation == "SUM" or not inside, f"{self.params.operation} cannot work in place",
                     hint="give the top another name")
        self.first = inside[0] if inside else 0
        top[0].reshape(shape)
        if self.params.operation in ("MAX", "MIN"):
            index = "uint8" if len(bottom) <= 256 else "int32"
            self.winner, self.mask = self.kept(shape, index), self.scratch(shape, bool)
        elif any(c != 1 for c in self.coeff):
            self.t = self.scratch(shape)

    def forward(self, bottom, top):
        combine = {"PROD": self._product, "SUM": self._sum, "DIV": self._quotient}
        combine.get(self.params.operation, self._extreme)([x.data for x in bottom], top[0].data)

    def _product(self, xs, y):
        self.xp.multiply(xs[0], xs[1], out=y)
        for x in xs[2:]:
            self.xp.multiply(y, x, out=y)

    def _sum(self, xs, y):
        """Begins with the bottom that y overwrites, if there is one."""
        self.xp.multiply(xs[self.first], self.coeff[self.first], out=y)
        for i, (x, c) in enumerate(zip(xs, self.coeff)):
            if i != self.first:
                self.xp.add(y, x if c == 1 else self.xp.multiply(x, c, out=self.t.data), out=y)

    def _quotient(self, xs, y):
        self.xp.divide(xs[0], xs[1], out=y)
        for x in xs[2:]:
            self.xp.divide(y, x, out=y)

    def _extreme(self, xs, y):
        xp, winner, wins = self.xp, self.winner.data, self.mask.data
        high = self.params.operation == "MAX"
        choose, beats = (xp.maximum, xp.greater) if high else (xp.minimum, xp.less)
        loses = xp.less_equal if high else xp.greater_equal
        loses(xs[0], xs[1], out=winner)  # 1 where the second wins
        choose(xs[0], xs[1], out=y)
        for i, x in enumerate(xs[2:], 2):
            beats(x, y, out=wins)
            choose(x, y, out=y)
            xp.copyto(winner, i, where=wins)

    def backward(self, top, propagate_down, bottom):
        xp, dy, operation = self.xp, top[0].diff, self.params.operation
        wanted = [i for i, down in enumerate(propagate_down) if down]
        for i in sorted(wanted, key=lambda i: i == self.first):  # the one that may share dy comes last
            dx = bottom[i].diff
            if operation == "SUM":
                xp.multiply(dy, self.coeff[i], out=dx)
            elif operation in ("MAX", "MIN"):
                xp.multiply(dy, xp.equal(self.winner.data, i, out=self.mask.data), out=dx)
            elif operation == "DIV":
                self._quotient_gradient(i, [x.data for x in bottom], top[0].data, dy, dx)
            elif self.params.stable_prod_grad:
                self._product([dy, *(x.data for j, x in enumerate(bottom) if j != i)], dx)
            else:
                xp.divide(top[0].data, bottom[i].data, out=dx)
                xp.multiply(dx, dy, out=dx)

    def _quotient_gradient(self, i, xs, y, dy, dx):
        if i == 0:
            self._quotient([dy, *xs[1:]], dx)
        else:  # -y / x_i
            self.xp.multiply(dy, y, out=dx)
            self.xp.divide(dx, xs[i], out=dx)
            self.xp.negative(dx, out=dx)
