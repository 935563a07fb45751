"""Sums on the host."""

import numpy as np

from layerforge.backends.ops.channels import ChannelOps

BLOCK = 256  # values added in float32 before they go on in float64
SHORT = 32  # below, rows are too short to gain from it


class NumpyChannelOps(ChannelOps):
    def channel_sum(self, x, *, out=None, acc=None):
        if x.shape[2] < SHORT:
            _store(x.sum(axis=(0, 2), dtype=np.float64), out, acc)
        else:
            _store(_in_blocks("nckb->nck", x), out, acc)

    def channel_dot(self, a, b, *, out=None, acc=None):
        if a.shape[2] < SHORT:
            _store(np.einsum("ncl,ncl->c", a, b, dtype=np.float64), out, acc)
        else:
            _store(_in_blocks("nckb,nckb->nck", a, b), out, acc)


def _in_blocks(sums, *arrays):
    """(N, C, L) arrays → (C,): blocks of a row are summed in the arrays' type, the blocks in float64."""
    n, c, length = arrays[0].shape
    whole = length // BLOCK * BLOCK
    blocks = [x[:, :, :whole].reshape(n, c, whole // BLOCK, BLOCK) for x in arrays]
    total = np.einsum(sums, *blocks).sum(axis=(0, 2), dtype=np.float64)
    if whole < length:
        rest = [x[:, :, None, whole:] for x in arrays]
        total += np.einsum(sums, *rest).sum(axis=(0, 2), dtype=np.float64)
    return total


def _store(values, out, acc):
    if acc is None:
        out[...] = values
    else:
        acc += values.astype(acc.dtype)
