"""Picking and adding by index. An index of SKIPPED takes no part."""

from typing import Any

Array = Any

SKIPPED = -1


class ScatterOps:
    """Indexes are int32 arrays made by `to_index`; those it found bad give NaN, or are left out of sums."""

    def to_index(self, values: Array, size: int, *, out: Array, ignore: int | None = None) -> int | None:
        """out = values cut towards zero; SKIPPED where that is `ignore`.

        Returns the flat position of the first value outside 0 … size-1 that is not ignored. A backend that would have
        to wait for its device returns None always.
        """
        raise NotImplementedError

    def select(self, x: Array, index: Array, *, out: Array, fill: float = 0.0) -> None:
        """out[n, k] = x[n, index[n, k], k], and `fill` where skipped.

        x (N or 1, C, K or 1)      index, out (N, K)
        """
        raise NotImplementedError

    def add_selected(self, values: Array, index: Array, *, acc: Array) -> None:
        """acc[n, index[n, k], k] += values[n, k]      values (N, K)   acc (N, C, K)"""
        raise NotImplementedError

    def take_rows(self, x: Array, index: Array, *, out: Array) -> None:
        """out[i] = x[index[i]], zeros where skipped      x (R, D)   index (M,)   out (M, D)"""
        raise NotImplementedError

    def add_rows(self, values: Array, index: Array, *, acc: Array) -> None:
        """acc[index[i]] += values[i]; equal indexes add up      values (M, D)   index (M,)   acc (R, D)"""
        raise NotImplementedError
