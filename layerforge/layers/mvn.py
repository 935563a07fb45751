"""Mean-variance normalisation of single pictures."""

from __future__ import annotations

import math

from layerforge.layers.batch_statistics import BatchStatistics, wide
from layerforge.netdef.params import Params, field


class MVNParams(Params, message="mvn_param"):
    normalize_variance: bool = field(bool, True, doc="also divide by the standard deviation")
    across_channels: bool = field(bool, False, doc="one mean and deviation for all channels of a picture")
    eps: float = field(float, 1e-9, at_least=0, doc="is added to the standard deviation")
    add_eps_before_sqrt: bool = field(bool, False, doc="eps is added to the variance instead (a fork's option)")


class MVN(BatchStatistics):
    """y = (x - μ) / (σ + eps), with μ and σ of each picture's channels    (without normalize_variance: y = x - μ)

    bottom[0]  x (N, C, H, W); axes that are missing count as 1
    top[0]     y (N, C, H, W), always four axes; may be bottom[0] itself

    As in Caffe the gradient takes σ + eps for σ, which tells only for a large eps.
    Raises LayerError for more than four axes.
    Source: Caffe's mvn_layer.cpp
    """

    type, Params = "MVN", MVNParams

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        self.require(len(shape) <= 4, f"bottom[0] is {shape}, at most four axes are possible")
        in_place = top[0].blob is bottom[0].blob
        shape = shape + (1,) * (4 - len(shape))
        top[0].reshape(shape)
        groups = shape[0] if self.params.across_channels else shape[0] * shape[1]
        self.buffers((1, groups, math.prod(shape) // max(groups, 1)), True, in_place)

    def forward(self, bottom, top):
        p, x, y = self.params, bottom[0].data.reshape(self.ncl), top[0].data.reshape(self.ncl)
        if p.normalize_variance:
            self.measure(x)
            self.standardize(x, y, p.eps, p.add_eps_before_sqrt)
        else:
            self._centre(x, y)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        dy, dx = top[0].diff.reshape(self.ncl), bottom[0].diff.reshape(self.ncl)
        if self.params.normalize_variance:
            self.gradients(dy, dx)
        else:
            self._centre(dy, dx)

    def _centre(self, source, target):
        """target = source minus its mean; may be source."""
        total, mean = self.sum64.data, self.mean.data
        self.ops.channel_sum(source, out=total)
        self.xp.divide(total, self.total, out=mean, casting="same_kind")
        self.xp.subtract(source, wide(mean), out=target)
