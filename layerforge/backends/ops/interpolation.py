"""Resizing of planes."""

from typing import Any

from layerforge.core.taps import Taps

Array = Any


class InterpolationOps:
    """x, dx (N, C, H, W)      y, dy (N, C, Ho, Wo)      rows, columns: Taps of Ho and Wo outputs, arrays of the host"""

    def resize(self, x: Array, rows: Taps, columns: Taps, *, out: Array) -> None:
        """out[p, q] = Σ_s,t rows.weight[p, s] columns.weight[q, t] x[rows.index[p, s], columns.index[q, t]]"""
        raise NotImplementedError

    def resize_gradient(self, dy: Array, rows: Taps, columns: Taps, *, out: Array) -> None:
        """The transpose: out[i, j] = Σ over all p, s, q, t with rows.index[p, s] = i and columns.index[q, t] = j of
        rows.weight[p, s] columns.weight[q, t] dy[p, q]."""
        raise NotImplementedError
