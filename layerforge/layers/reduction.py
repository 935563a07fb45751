"""Sums over the trailing axes."""

from __future__ import annotations

import numpy as np

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class ReductionParams(Params, message="reduction_param"):
    operation: str = field(
        str,
        "SUM",
        choices=("SUM", "ASUM", "SUMSQ", "MEAN"),
        doc="of the values, their magnitudes, their squares; or the mean",
    )
    axis: int = field(int, 0, doc="the first axis that is summed over, with all behind it")
    coeff: float = field(float, 1.0, doc="multiplies the result")


class Reduction(Layer):
    """y[n] = coeff · Σ_d f(x[n, d])      f: x (SUM), |x| (ASUM), x² (SUMSQ), x/D (MEAN)

    bottom[0]  x (*outer, *inner)      D = product of inner, the axes from `axis` on
    top[0]     y (*outer)
    """

    type, Params = "Reduction", ReductionParams

    def reshape(self, bottom, top):
        p, shape = self.params, bottom[0].shape
        first = self.axis(p.axis, len(shape)) if shape else 0
        self.rows = (bottom[0].count(0, first), bottom[0].count(first))  # (N, D)
        self.coeff = p.coeff / self.rows[1] if p.operation == "MEAN" and self.rows[1] else p.coeff
        top[0].reshape(shape[:first])
        self.magnitude = self.scratch(self.rows) if p.operation == "ASUM" else None
        self.total, self.scale = self.scratch((self.rows[0],), np.float64), self.scratch((self.rows[0],))

    def forward(self, bottom, top):
        x, total, operation = bottom[0].data.reshape(self.rows), self.total.data, self.params.operation
        if operation == "SUMSQ":
            self.ops.row_dot(x, x, out=total)
        else:
            self.ops.row_sum(self.xp.abs(x, out=self.magnitude.data) if operation == "ASUM" else x, out=total)
        self.xp.multiply(total, self.coeff, out=top[0].data.reshape(-1))

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        xp, operation, scale = self.xp, self.params.operation, self.scale.data
        x, dx = bottom[0].data.reshape(self.rows), bottom[0].diff.reshape(self.rows)
        xp.multiply(top[0].diff.reshape(-1), self.coeff * (2 if operation == "SUMSQ" else 1), out=scale)
        if operation == "SUMSQ":
            xp.multiply(x, scale[:, None], out=dx)
        elif operation == "ASUM":
            xp.multiply(xp.sign(x, out=dx), scale[:, None], out=dx)
        else:
            xp.copyto(dx, scale[:, None])
