"""Sums over rows, and the largest values."""

from layerforge.backends.cupy.kernels import MOST_BLOCKS
from layerforge.backends.cupy.sums import sum_channels
from layerforge.backends.ops.reduction import ReductionOps


class CupyReductionOps(ReductionOps):
    def row_dot(self, a, b, *, out):
        sum_channels(self.kernels, a, b, (1, *a.shape), out=out, add=False)

    def row_sum(self, a, *, out):
        sum_channels(self.kernels, a, None, (1, *a.shape), out=out, add=False)

    def top_k(self, x, *, index, values, smallest=False):
        outer, channels, inner = x.shape
        columns, width = outer * inner, 1 if inner == 1 else 32  # columns of one block
        if index.size:
            sizes = columns, channels, inner, index.shape[1], smallest, width
            grid = min(-(-columns // width), MOST_BLOCKS)
            self.kernels.launch("selection.cu", "top_k", grid, x, index, values, *sizes, dtype=x.dtype)
