"""Sums of products and largest values on the host."""

import numpy as np

from layerforge.backends.ops.reduction import ReductionOps

BLOCK = 1024  # values summed in the array's own precision; beyond that in double


class NumpyReductionOps(ReductionOps):
    def row_dot(self, a, b, *, out):
        blocks, rest, cut = _blocks(a.shape)
        total = np.einsum("nd,nd->n", a[:, rest], b[:, rest]).astype(np.float64)
        if cut:
            total += np.einsum("nmd,nmd->nm", a[:, :cut].reshape(blocks), b[:, :cut].reshape(blocks)).sum(
                axis=1, dtype=np.float64
            )
        out[...] = total

    def row_sum(self, a, *, out):
        blocks, rest, cut = _blocks(a.shape)
        total = a[:, rest].sum(axis=1, dtype=np.float64)
        if cut:
            total += a[:, :cut].reshape(blocks).sum(axis=2).sum(axis=1, dtype=np.float64)
        out[...] = total

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


def _blocks(shape):
    """The shape of the whole blocks of the rows, the rest of the rows, and where it starts."""
    n, d = shape
    cut = d - d % BLOCK
    return (n, cut // BLOCK, BLOCK), slice(cut, None), cut
