"""Picking and adding by index in CUDA C."""

import numpy as np

from layerforge.backends.cupy.kernels import MOST_BLOCKS, blocks
from layerforge.backends.ops.scatter import ScatterOps


class CupyScatterOps(ScatterOps):
    def to_index(self, values, size, *, out, ignore=None):
        sizes = out.size, size, ignore is not None, ignore or 0
        _run(self.kernels, "to_index", out, values, out, *sizes, dtype=values.dtype)
        return None  # the bad ones are marked: telling them would mean to wait for the device

    def select(self, x, index, *, out, fill=0.0):
        steps = [np.int64(s // x.itemsize if n > 1 else 0) for n, s in zip(x.shape, x.strides)]
        sizes = out.size, out.shape[1], x.shape[1]
        _run(self.kernels, "select_channels", out, x, index, out, *sizes, *steps, float(fill), dtype=x.dtype)

    def add_selected(self, values, index, *, acc):
        sizes = values.size, values.shape[1], acc.shape[1]
        _run(self.kernels, "add_selected", values, values, index, acc, *sizes, dtype=acc.dtype)

    def take_rows(self, x, index, *, out):
        _run(self.kernels, "take_rows", out, x, index, out, out.size, *x.shape, dtype=x.dtype)

    def add_rows(self, values, index, *, acc):
        if values.size:
            grid = min(len(index), MOST_BLOCKS)
            self.kernels.launch(
                "scatter.cu", "add_rows", grid, values, index, acc, len(index), *acc.shape, dtype=acc.dtype
            )


def _run(kernels, kernel, each, *arguments, dtype):
    """One thread for each number of `each`."""
    if each.size:
        kernels.launch("scatter.cu", kernel, blocks(each.size), *arguments, dtype=dtype)
