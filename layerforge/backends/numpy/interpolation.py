"""Bilinear interpolation on the host: y = R x Cᵀ for every plane, R and C the weights of rows and columns."""

import numpy as np

from layerforge.backends.ops.interpolation import InterpolationOps


def _weights(size, begin, end, outputs, dtype):
    """(outputs, size): two neighbours a row."""
    n, at = size - begin - end, np.arange(outputs)
    place = at * ((n - 1) / (outputs - 1)) if outputs > 1 else np.zeros(outputs)
    low = np.minimum(place.astype(int), n - 1)
    weights = np.zeros((outputs, size), dtype)
    weights[at, begin + low] = 1 - (place - low)
    weights[at, begin + np.minimum(low + 1, n - 1)] += place - low
    return weights


class NumpyInterpolationOps(InterpolationOps):
    def bilinear(self, x, begin, end, *, out):
        rows, columns = (_weights(n, begin, end, o, x.dtype) for n, o in zip(x.shape[2:], out.shape[2:]))
        np.matmul(rows, x @ columns.T, out=out)

    def bilinear_gradient(self, dy, begin, end, *, out):
        rows, columns = (_weights(n, begin, end, o, dy.dtype) for n, o in zip(out.shape[2:], dy.shape[2:]))
        np.matmul(rows.T @ dy, columns, out=out)
