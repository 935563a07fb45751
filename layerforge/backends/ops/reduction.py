"""Sums of products, and the largest values."""

from typing import Any

Array = Any


class ReductionOps:
    """Sums over long rows that lose no digits: partial sums are added in double precision."""

    def row_dot(self, a: Array, b: Array, *, out: Array) -> None:
        """out[n] = Σ_d a[n, d] b[n, d]      a, b (N, D)   out (N,)"""
        raise NotImplementedError

    def row_sum(self, a: Array, *, out: Array) -> None:
        """out[n] = Σ_d a[n, d]      a (N, D)   out (N,)"""
        raise NotImplementedError

    def top_k(self, x: Array, *, index: Array, values: Array, smallest: bool = False) -> None:
        """The k largest of each column, largest first, of equal ones the larger index first; or the k smallest.

        The smallest come smallest first, of equal ones the smaller index first.

        x (outer, C, inner)      index (outer, k, inner) int32   values (outer, k, inner)
        """
        raise NotImplementedError
