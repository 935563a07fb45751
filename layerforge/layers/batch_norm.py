"""BatchNorm as Caffe has it: sums of statistics, no scale and offset (see Scale)."""

from __future__ import annotations

from layerforge.core.errors import LayerError
from layerforge.layers.batch_statistics import BatchStatistics
from layerforge.layers.engine import engine_field
from layerforge.layers.fillers import FillerParams
from layerforge.netdef.params import Params, field
from layerforge.netdef.types import Phase


class BatchNormParams(Params, message="batch_norm_param"):
    use_global_stats: bool = field(bool, doc="the kept statistics count, not the batch's; if not given: in TEST")
    moving_average_fraction: float = field(
        float, 0.999, at_least=0, at_most=1, doc="what the kept sums are multiplied by before new statistics are added")
    eps: float = field(float, 1e-5, at_least=0, doc="is added to the variance, so that nothing is divided by 0")
    add_eps_before_sqrt: bool = field(bool, True, doc="false: eps is added to the standard deviation instead")
    scale_bias: bool = field(bool, False, doc="learns a factor and an offset per channel, like Scale (NVCaffe)")
    scale_filler: FillerParams = field(FillerParams, FillerParams(value=1.0), doc="how the factors start (scale_bias)")
    bias_filler: FillerParams = field(FillerParams, FillerParams(), doc="how the offsets start (scale_bias)")
    engine: str = engine_field()


class BatchNorm(BatchStatistics):
    """y = (x - μ) / √(σ² + eps), per channel      (with scale_bias: γ · that + β)

    bottom[0]  x (N, C, ...)
    top[0]     y, the same shape; may be bottom[0] itself
    blobs      S_μ (C,), S_σ² (C,), S_1 (1,): sums of means, variances and weights; with scale_bias also γ (C,), β (C,)

    With batch statistics every forward pass multiplies the sums by moving_average_fraction and adds the batch's mean,
    its variance times M / (M - 1) (M values a channel), and 1. With kept statistics μ = S_μ / S_1, σ² = S_σ² / S_1,
    or 0 where S_1 = 0.

    Raises LayerError for one axis, and where `param` gives the statistics an lr_mult.
    Source: Ioffe and Szegedy 2015; Caffe's batch_norm_layer.cpp; scale_bias: NVCaffe
    """

    type, Params = "BatchNorm", BatchNormParams
    updates_blobs = True

    def setup(self, bottom, top):
        p, shape = self.params, bottom[0].shape
        self.require(len(shape) >= 2, f"bottom[0] is {shape}, at least two axes are needed")
        self.kept_statistics = self.phase == Phase.TEST if p.use_global_stats is None else p.use_global_stats
        self.updates_blobs = not self.kept_statistics
        self.sums = [self.add_blob((n,), fixed=True) for n in (shape[1], shape[1], 1)]
        if p.scale_bias:
            self.gamma = self.add_blob((shape[1],), p.scale_filler)
            self.beta = self.add_blob((shape[1],), p.bias_filler)
        for i, spec in enumerate(self.definition.param[:3]):
            given = 1 if spec.lr_mult is None else spec.lr_mult
            if given != 0:
                raise LayerError(f"{self.definition}: param {i} has lr_mult {given:g}, but it is a statistic",
                                 where=spec.where or self.definition.where,
                                 hint="set lr_mult: 0 in the first three, or remove the param entries")

    def reshape(self, bottom, top):
        self.declare(bottom, top, self.sums[0].count(), not self.kept_statistics)
        self.zero, self.weight = self.kept((1,), bool), self.kept((1,))

    def forward(self, bottom, top):
        p, x, y = self.params, bottom[0].data.reshape(self.ncl), top[0].data.reshape(self.ncl)
        if self.kept_statistics:
            self._load()
        else:
            self.measure(x)
            self._update()
        self.standardize(x, y, p.eps, p.add_eps_before_sqrt)

    def backward(self, top, propagate_down, bottom):
        dx = bottom[0].diff.reshape(self.ncl) if propagate_down[0] else None
        self.gradients(top[0].diff.reshape(self.ncl), dx)

    def _load(self):
        """μ and σ² from the sums: times 1 / S_1, or times 0 where S_1 is 0."""
        xp, zero, weight = self.xp, self.zero.data, self.weight.data
        means, variances, weights = (view.data for view in self.sums)
        xp.equal(weights, 0, out=zero)
        xp.add(weights, zero, out=weight)
        xp.divide(1, weight, out=weight)
        xp.logical_not(zero, out=zero)
        xp.multiply(weight, zero, out=weight)
        xp.multiply(means, weight, out=self.mean.data)
        xp.multiply(variances, weight, out=self.variance.data)

    def _update(self):
        xp, f = self.xp, self.params.moving_average_fraction
        means, variances, weights = (view.data for view in self.sums)
        correction = self.total / (self.total - 1) if self.total > 1 else 1.0
        unbiased = xp.multiply(self.variance.data, correction, out=self.small.data, casting="same_kind")
        for kept, new in ((means, self.mean.data), (variances, unbiased), (weights, 1)):
            xp.multiply(kept, f, out=kept)
            xp.add(kept, new, out=kept)
