"""Several blobs of one shape into one."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class EltwiseParams(Params, message="eltwise_param"):
    operation: str = field(str, "SUM", choices=("PROD", "SUM", "MAX", "DIV", "MIN"), doc="what is done")
    coeff: tuple[float, ...] = field(float, repeated=True, doc="a factor per bottom (SUM); 1 without")
    axis: int = field(int, 0, doc="where the axes of a bottom with fewer axes stand in bottom[0] (a fork's option)")
    stable_prod_grad: bool = field(bool, True, doc="PROD's gradient multiplies the other bottoms; else it is y / x")


class Eltwise(Layer):
    """y = Π_k x_k   |   Σ_k coeff_k · x_k   |   max_k x_k   |   x_0 / Π_k>0 x_k   |   min_k x_k

    bottom[k]  x_k, at least two, of one shape; one with fewer axes is repeated over the axes of bottom[0] before `axis`
               and behind its own
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
        self.firsts = [self._first(i, view.shape, shape) for i, view in enumerate(bottom)]
        inside = [i for i, view in enumerate(bottom) if view.blob is top[0].blob]
        possible = self.params.operation == "SUM" and all(bottom[i].shape == shape for i in inside)
        self.require(possible or not inside, f"{self.params.operation} cannot work in place here",
                     hint="give the top another name")
        self.first = inside[0] if inside else 0
        top[0].reshape(shape)
        if self.params.operation in ("MAX", "MIN"):
            index = "uint8" if len(bottom) <= 256 else "int32"
            self.winner, self.mask = self.kept(shape, index), self.scratch(shape, bool)
        repeated = any(view.shape != shape for view in bottom)
        self.t = self.scratch(shape) if repeated or any(c != 1 for c in self.coeff) else None

    def _first(self, i, shape, whole):
        """The axis of bottom[0] that the first axis of bottom[i] stands for."""
        first = self.axis(self.params.axis, len(whole)) if len(shape) < len(whole) else 0
        self.require(whole[first : first + len(shape)] == shape, f"bottom[{i}] is {shape}, bottom[0] is {whole}",
                     hint="all bottoms need one shape, or fewer axes that start at `axis`")
        return first

    def _values(self, bottom):
        """The bottoms' values, with an axis of length 1 for each that is missing."""
        for first, view in zip(self.firsts, bottom):
            behind = bottom[0].ndim - first - view.ndim
            yield view.data.reshape((1,) * first + view.shape + (1,) * behind)

    def forward(self, bottom, top):
        combine = {"PROD": self._product, "SUM": self._sum, "DIV": self._quotient}
        combine.get(self.params.operation, self._extreme)(list(self._values(bottom)), top[0].data)

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
        xs, y, dy = list(self._values(bottom)), top[0].data, top[0].diff
        wanted = [i for i, down in enumerate(propagate_down) if down]
        for i in sorted(wanted, key=lambda i: i == self.first):  # the one that may share dy comes last
            if bottom[i].shape == top[0].shape:
                self._gradient(i, xs, y, dy, bottom[i].diff)
            else:  # repeated in forward, so summed here
                whole, first, n = self.t.data, self.firsts[i], bottom[i].count()
                self._gradient(i, xs, y, dy, whole)
                folded = whole.reshape(top[0].count(0, first), n, -1)  # the axes before, of and behind x_i
                self.ops.channel_sum(folded, out=bottom[i].diff.reshape(-1))

    def _gradient(self, i, xs, y, dy, dx):
        """Writes dx = dy · ∂y/∂x_i, in the shape of y."""
        xp, operation = self.xp, self.params.operation
        if operation == "SUM":
            xp.multiply(dy, self.coeff[i], out=dx)
        elif operation in ("MAX", "MIN"):
            xp.multiply(dy, xp.equal(self.winner.data, i, out=self.mask.data), out=dx)
        elif operation == "DIV" and i == 0:
            self._quotient([dy, *xs[1:]], dx)
        elif operation == "DIV":  # -y / x_i
            xp.multiply(dy, y, out=dx)
            xp.divide(dx, xs[i], out=dx)
            xp.negative(dx, out=dx)
        elif self.params.stable_prod_grad:
            self._product([dy, *(x for j, x in enumerate(xs) if j != i)], dx)
        else:
            xp.divide(y, xs[i], out=dx)
            xp.multiply(dx, dy, out=dx)
