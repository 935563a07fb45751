"""Mean pooling of regions where each bin has channels of its own."""

from typing import Any

Array = Any


class PositionSensitiveOps:
    """x (N, D · G², H, W)   batch (R,) int32   regions (R, 5): anything, x1, y1, x2, y2   y (R, D, G, G)

    A region starts at round(x1) · scale and ends at (round(x2) + 1) · scale, halves rounded away from zero; its size is
    at least 0.1. Bin (i, j) covers the rows ⌊i b + start⌋ … ⌈(i + 1) b + start⌉ - 1, b = size / G, cut at the plane;
    columns likewise.
    """

    def ps_roi_pool(self, x: Array, batch: Array, regions: Array, scale: float, *, out: Array) -> None:
        """out[r, d, i, j] = the mean of bin (i, j) of region r in plane (batch[r], (d G + i) G + j); 0 if empty."""
        raise NotImplementedError

    def ps_roi_pool_gradient(self, dy: Array, batch: Array, regions: Array, scale: float, *, out: Array) -> None:
        """out[n, c, h, w] = Σ dy[r, d, i, j] ÷ size of the bin, over the bins that cover it; out has x's shape."""
        raise NotImplementedError
