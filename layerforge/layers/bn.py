"""BN, which two forks have in two forms: BatchNorm and Scale in one layer."""

from __future__ import annotations

from layerforge.layers.batch_statistics import BatchStatistics, flat, wide
from layerforge.layers.engine import engine_field
from layerforge.layers.fillers import FillerParams
from layerforge.netdef.params import Params, field
from layerforge.netdef.types import Phase


class BNParams(Params, message="bn_param"):
    scale_filler: FillerParams = field(FillerParams, FillerParams(), doc="how γ starts (SegNet)")
    shift_filler: FillerParams = field(FillerParams, FillerParams(), doc="how β starts (SegNet)")
    bn_mode: str = field(str, "LEARN", choices=("LEARN", "INFERENCE"), doc="INFERENCE: only γ · x + β (SegNet)")
    slope_filler: FillerParams = field(FillerParams, FillerParams(value=1.0), doc="how γ starts (PSPNet)")
    bias_filler: FillerParams = field(FillerParams, FillerParams(), doc="how β starts (PSPNet)")
    momentum: float = field(float, 0.9, at_least=0, at_most=1, doc="how much of the kept statistics stays (PSPNet)")
    eps: float = field(float, 1e-5, at_least=0, doc="is added to the variance (PSPNet; SegNet's is always 1e-9)")
    frozen: bool = field(bool, False, doc="the kept statistics count in TRAIN too, and nothing is learned (PSPNet)")
    icnet: bool = field(bool, False, doc="says that this is PSPNet's form")
    engine: str = engine_field()


class BN(BatchStatistics):
    """y = γ · (x - μ) / √(σ² + eps) + β, per channel

    bottom[0]  x (N, C, ...)
    top[0]     y, the same shape; may be bottom[0] itself
    blobs      γ, β (1, C, 1, 1); in PSPNet's form also μ, σ² (1, C, 1, 1)

    PSPNet's form (any of slope_filler, bias_filler, momentum, eps, frozen or icnet is set): in TRAIN the batch's
    statistics, and kept = momentum · kept + (1 - momentum) · batch; the kept ones in TEST and when frozen.
    SegNet's form (otherwise): the batch's statistics in both phases, eps 1e-9; with bn_mode INFERENCE y = γ · x + β.

    Raises LayerError for one axis.
    Source: the layers of that name in PSPNet's and SegNet's forks
    """

    type, Params = "BN", BNParams
    updates_blobs = True

    def setup(self, bottom, top):
        p, shape = self.params, bottom[0].shape
        self.require(len(shape) >= 2, f"bottom[0] is {shape}, at least two axes are needed")
        self.pspnet = p.icnet or any(p.has(n) for n in ("slope_filler", "bias_filler", "momentum", "eps", "frozen"))
        frozen = self.pspnet and p.frozen
        self.kept_statistics = self.pspnet and (p.frozen or self.phase == Phase.TEST)
        self.inference = not self.pspnet and p.bn_mode == "INFERENCE"
        self.updates_blobs = self.pspnet and not self.kept_statistics
        vector = (1, shape[1], 1, 1)
        fillers = (p.slope_filler, p.bias_filler) if self.pspnet else (p.scale_filler, p.shift_filler)
        self.gamma, self.beta = (self.add_blob(vector, filler, fixed=frozen) for filler in fillers)
        if self.pspnet:
            self.means = self.add_blob(vector, fixed=True)
            self.variances = self.add_blob(vector, FillerParams(value=float(frozen)), fixed=True)

    def reshape(self, bottom, top):
        self.declare(bottom, top, self.gamma.count(), not self.kept_statistics and not self.inference)
        if self.inference:
            self.saved = self.centred if top[0].blob is bottom[0].blob else None

    def forward(self, bottom, top):
        p, xp, x, y = self.params, self.xp, bottom[0].data.reshape(self.ncl), top[0].data.reshape(self.ncl)
        if self.inference:
            if self.saved:
                xp.copyto(self.saved.data, x)
            xp.multiply(x, wide(flat(self.gamma.data)), out=y)
            xp.add(y, wide(flat(self.beta.data)), out=y)
            return
        if self.kept_statistics:
            xp.copyto(self.mean.data, flat(self.means.data))
            xp.copyto(self.variance.data, flat(self.variances.data))
        else:
            self.measure(x)
            if self.pspnet:
                self._update()
        self.standardize(x, y, p.eps if self.pspnet else 1e-9)

    def backward(self, top, propagate_down, bottom):
        dy = top[0].diff.reshape(self.ncl)
        dx = bottom[0].diff.reshape(self.ncl) if propagate_down[0] else None
        if not self.inference:
            self.gradients(dy, dx)
            return
        x = self.saved.data if self.saved else bottom[0].data.reshape(self.ncl)
        if self.needs_gradient[0]:
            self.ops.channel_dot(dy, x, acc=flat(self.gamma.diff))
        if self.needs_gradient[1]:
            self.ops.channel_sum(dy, acc=flat(self.beta.diff))
        if propagate_down[0]:
            self.xp.multiply(dy, wide(flat(self.gamma.data)), out=dx)

    def _update(self):
        xp, m, step = self.xp, self.params.momentum, self.small.data
        for view, new in ((self.means, self.mean.data), (self.variances, self.variance.data)):
            kept = flat(view.data)
            xp.multiply(kept, m, out=kept)
            xp.multiply(new, 1 - m, out=step, casting="same_kind")
            xp.add(kept, step, out=kept)
