"""Sums on the host."""

import numpy as np

from layerforge.backends.ops.channels import ChannelOps


class NumpyChannelOps(ChannelOps):
    def channel_sum(self, x, *, out=None, acc=None):
        _store(x.sum(axis=(0, 2), dtype=np.float64), out, acc)

    def channel_dot(self, a, b, *, out=None, acc=None):
        _store(np.einsum("ncl,ncl->c", a, b, dtype=np.float64), out, acc)


def _store(values, out, acc):
    if acc is None:
        out[...] = values
    else:
        acc += values.astype(acc.dtype)
