"""Resizing in CUDA C. The taps are moved to the device once."""

import numpy as np

from layerforge.backends.cupy.kernels import blocks
from layerforge.backends.ops.interpolation import InterpolationOps


class CupyInterpolationOps(InterpolationOps):
    def resize(self, x, rows, columns, *, out):
        tables = [self.kernels.table(a, t) for taps in (rows, columns) for a, t in zip(taps, (np.int32, x.dtype))]
        sizes = *x.shape[2:], *out.shape[2:], rows.index.shape[1], columns.index.shape[1]
        if out.size:
            self.kernels.launch(
                "interpolation.cu", "resize", blocks(out.size), x, out, out.size, *tables, *sizes, dtype=x.dtype
            )

    def resize_gradient(self, dy, rows, columns, *, out):
        tables = [
            self.kernels.table(a, t)
            for taps, size in zip((rows, columns), out.shape[2:])
            for a, t in zip(readers(taps, size), (np.int32, np.int32, dy.dtype))
        ]
        if out.size:
            sizes = out.size, *tables, *out.shape[2:], *dy.shape[2:]
            self.kernels.launch(
                "interpolation.cu", "resize_gradient", blocks(out.size), dy, out, *sizes, dtype=dy.dtype
            )


def readers(taps, size):
    """Taps from the side of what they read: (start of each place's taps (size + 1,), their outputs, their weights)."""
    index = taps.index.reshape(-1)
    order = np.argsort(index, kind="stable")
    start = np.searchsorted(index[order], np.arange(size + 1))
    return start, order // taps.index.shape[1], taps.weight.reshape(-1)[order]
