"""Sums of products and largest values on the host."""

import numpy as np

from layerforge.backends.ops.reduction import ReductionOps

BLOCK = 4096  # values summed in the array's own precision; beyond that in double


class NumpyReductionOps(ReductionOps):
    def row_dot(self, a, b, *, out):
        n, d = a.shape
        whole = d - d % BLOCK
        total = np.einsum("nd,nd->n", a[:, whole:], b[:, whole:]).astype(np.float64)
        if whole:
            blocks = (n, whole // BLOCK, BLOCK)
            total += np.einsum("nmd,nmd->nm", a[:, :whole].reshape(blocks), b[:, :whole].reshape(blocks)).sum(
                axis=1, dtype=np.float64
            )
        out[...] = total

    def row_sum(self, a, *, out):
        out[...] = a.sum(axis=1, dtype=np.float64)

    def top_k(self, x, *, index, values, smallest=False):
        k = index.shape[1]
        if k == 1:
            found = x.argmin(axis=1) if smallest else x.shape[1] - 1 - x[:, ::-1].argmax(axis=1)
            index[:, 0] = found
        elif smallest:
            index[...] = x.argsort(axis=1, kind="stable")[:, :k]
        else:
            index[...] = x.argsort(axis=1, kind="stable")[:, : -k - 1 : -1]
        values[...] = np.take_along_axis(x, index, axis=1)
