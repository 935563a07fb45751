"""Resizing on the host: y = R x Cᵀ for every plane, R and C the taps of rows and columns as matrices."""

import numpy as np

from layerforge.backends.ops.interpolation import InterpolationOps


class NumpyInterpolationOps(InterpolationOps):
    def resize(self, x, rows, columns, *, out):
        rows, columns = (taps.matrix(size, x.dtype) for taps, size in zip((rows, columns), x.shape[2:]))
        np.matmul(rows, x @ columns.T, out=out)

    def resize_gradient(self, dy, rows, columns, *, out):
        rows, columns = (taps.matrix(size, dy.dtype) for taps, size in zip((rows, columns), out.shape[2:]))
        np.matmul(rows.T @ dy, columns, out=out)
