"""Matrix products in CUDA C: cuBLAS through CuPy cannot be recorded into a graph."""

import math

import numpy as np

from layerforge.backends.cupy.kernels import blocks
from layerforge.backends.ops.linear import LinearOps

TILE = 64  # of matmul.cu


class CupyLinearOps(LinearOps):
    def matmul(self, a, b, *, trans_a=False, trans_b=False, out=None, acc=None):
        c = out if acc is None else acc
        a = a.swapaxes(-1, -2) if trans_a else a
        b = b.swapaxes(-1, -2) if trans_b else b
        (m, k), n, batch = a.shape[-2:], b.shape[-1], c.shape[0] if c.ndim == 3 else 1
        tiles = -(-m // TILE) * -(-n // TILE) * batch
        if tiles:
            self.kernels.launch(
                "matmul.cu",
                "matmul",
                min(tiles, 2**31 - 1),
                a,
                b,
                c,
                batch,
                m,
                n,
                k,
                *steps(a),
                *steps(b),
                *steps(c),
                acc is not None,
                dtype=c.dtype,
            )

    def affine(self, x, W, b, out):
        self.matmul(x, W, trans_b=True, out=out)
        self.add_bias(out, b)

    def add_bias(self, y, b, axis=1):
        if y.size:
            inner = math.prod(y.shape[axis + 1 :])
            self.kernels.launch(
                "bias.cu", "add_bias", blocks(y.size), y, b, y.size, y.shape[axis], inner, dtype=y.dtype
            )

    def bias_gradient(self, dy, acc, axis=1):
        outer, channels, inner = math.prod(dy.shape[:axis]), dy.shape[axis], math.prod(dy.shape[axis + 1 :])
        width = 32 if inner == 1 else 1  # neighbouring channels of one block
        if channels:
            self.kernels.launch(
                "bias.cu",
                "bias_gradient",
                -(-channels // width),
                dy,
                acc,
                outer,
                channels,
                inner,
                width,
                dtype=dy.dtype,
            )


def steps(x):
    """The strides of (batch, row, column) in elements; 0 repeats a matrix for the whole batch."""
    row, column = (s // x.itemsize for s in x.strides[-2:])
    batch = x.strides[0] // x.itemsize if x.ndim == 3 and x.shape[0] > 1 else 0
    return np.int64(batch), np.int64(row), np.int64(column)
