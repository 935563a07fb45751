"""Softmax over the middle axis of (outer, C, inner)."""

from typing import Any

Array = Any


class SoftmaxOps:
    """The largest value is taken off first, so that no exponential overflows."""

    def softmax(self, x: Array, *, out: Array) -> None:
        """out[n, c, k] = exp x[n, c, k] / Σ_j exp x[n, j, k]      out may be x"""
        raise NotImplementedError

    def softmax_gradient(self, y: Array, dy: Array, *, out: Array) -> None:
        """out = y (dy - Σ_j dy[n, j, k] y[n, j, k])      out may be dy"""
        raise NotImplementedError
