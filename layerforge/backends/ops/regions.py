"""Pooling of regions, and writing values to places in planes."""

from typing import Any

Array = Any


class RegionOps:
    """Places are int32, h·W + w within a plane; -1 stands for none."""

    def roi_pool(self, x: Array, batch: Array, regions: Array, scale: float, *, out: Array, index: Array) -> None:
        """out[r, c, i, j] = the largest value of bin (i, j) of region r in plane (batch[r], c), index = its place.

        x (N, C, H, W)   batch (R,) int32   regions (R, 5): anything, x1, y1, x2, y2
        out, index (R, C, bins down, bins across)

        Corners are scaled and rounded half away from zero; the size is end - start + 1, at least 1. Bin i covers the
        rows ⌊i b⌋ … ⌈(i + 1) b⌉ - 1 from the region's first, b = size / bins in x's dtype, cut at the plane; columns
        likewise.
        An empty bin gives 0 and index -1. Of equal values the first in row order counts.
        """
        raise NotImplementedError

    def roi_pool_gradient(self, dy: Array, batch: Array, index: Array, *, out: Array) -> None:
        """out = zeros, then out[batch[r], c, index[r,c,i,j]] += dy[r,c,i,j]; out (N, C, H, W)"""
        raise NotImplementedError

    def unpool(self, x: Array, index: Array, *, out: Array) -> None:
        """out = zeros, then out[n, c, index[n,c,p]] = x[n,c,p]; of equal places the last p counts.

        x, index (N, C, H, W)   out (N, C, Ho, Wo)
        """
        raise NotImplementedError

    def unpool_gradient(self, dy: Array, index: Array, *, out: Array) -> None:
        """out[n,c,p] = dy[n, c, index[n,c,p]], 0 for none; out has index's shape"""
        raise NotImplementedError
