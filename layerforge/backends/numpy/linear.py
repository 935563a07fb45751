"""Matrix products through NumPy's BLAS."""

import numpy as np

from layerforge.backends.numpy.blocks import blocks
from layerforge.backends.ops.linear import LinearOps

PRODUCT_BYTES = 4 << 20  # of a piece: large enough for the product's own speed


class NumpyLinearOps(LinearOps):
    def matmul(self, a, b, *, trans_a=False, trans_b=False, out=None, acc=None):
        a = a.swapaxes(-1, -2) if trans_a else a
        b = b.swapaxes(-1, -2) if trans_b else b
        if acc is None:
            np.matmul(a, b, out=out)
        elif acc.ndim > 2:
            acc += np.matmul(a, b)
        else:  # in pieces, so that the product is added while it is in the cache
            for rows in blocks(len(acc), acc[:1].nbytes, PRODUCT_BYTES):
                acc[rows] += np.matmul(a[rows], b)

    def affine(self, x, W, b, out):
        self.matmul(x, W, trans_b=True, out=out)
        self.add_bias(out, b)

    def add_bias(self, y, b, axis=1):
        y += b.reshape((-1,) + (1,) * (y.ndim - 1 - axis))

    def bias_gradient(self, dy, acc, axis=1):
        acc += dy.sum(axis=tuple(i for i in range(dy.ndim) if i != axis)).reshape(acc.shape)
