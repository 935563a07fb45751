"""Sums over all axes but one."""

from layerforge.backends.cupy.sums import sum_channels
from layerforge.backends.ops.channels import ChannelOps


class CupyChannelOps(ChannelOps):
    def channel_sum(self, x, *, out=None, acc=None):
        sum_channels(self.kernels, x, None, x.shape, out=out if acc is None else acc, add=acc is not None)

    def channel_dot(self, a, b, *, out=None, acc=None):
        sum_channels(self.kernels, a, b, a.shape, out=out if acc is None else acc, add=acc is not None)
