"""Sums on the host."""

import numpy as np

from layerforge.backends.ops.channels import ChannelOps

BLOCK = 256  # products added in float32 before they go on in float64


class NumpyChannelOps(ChannelOps):
    def channel_sum(self, x, *, out=None, acc=None):
        _store(x.sum(axis=(0, 2), dtype=np.float64), out, acc)

    def channel_dot(self, a, b, *, out=None, acc=None):
        n, c, length = a.shape
        if length < 32:
            _store(np.einsum("ncl,ncl->c", a, b, dtype=np.float64), out, acc)
            return
        whole = length // BLOCK * BLOCK
        blocks = [x[:, :, :whole].reshape(n, c, -1, BLOCK) for x in (a, b)]
        total = np.einsum("nckb,nckb->nck", *blocks).sum(axis=(0, 2), dtype=np.float64)
        if whole < length:
            total += np.einsum("ncl,ncl->nc", a[:, :, whole:], b[:, :, whole:]).sum(axis=0, dtype=np.float64)
        _store(total, out, acc)


def _store(values, out, acc):
    if acc is None:
        out[...] = values
    else:
        acc += values.astype(acc.dtype)
