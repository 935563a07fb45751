"""Losses over values (EuclideanLoss, SigmoidCrossEntropyLoss, ContrastiveLoss, SmoothL1Loss); what all losses share."""

from __future__ import annotations

import numpy as np

from layerforge.layers.activation import sigmoid
from layerforge.layers.base import Layer
from layerforge.layers.labels import Divisor, LossParams
from layerforge.netdef.params import Params, field


class Loss(Layer):
    """Base of the losses: a scalar top with loss weight 1, and bottoms that take no gradient."""

    bottoms = 2
    auto_tops = True
    loss = True
    in_place = False
    no_gradient = (1,)
    batched = (1,)  # the bottoms, besides the first, whose first axis is the batch

    def reshape(self, bottom, top):
        """Checks that all bottoms have one batch size; subclasses go on from there."""
        self.require(bottom[0].ndim > 0, "bottom[0] has no axes, its first must be the batch")
        for i, other in enumerate(bottom[1:], 1):
            if i in self.batched:
                self.require(
                    other.ndim > 0 and other.shape[0] == bottom[0].shape[0],
                    f"bottom[0] is {bottom[0].shape}, bottom[{i}] is {other.shape}: the first axes must agree",
                )
        self.batch = max(1, bottom[0].shape[0])  # an empty batch, as Filter can give, costs nothing
        top[0].reshape(())

    def refuse_gradients(self, propagate_down):
        """Raises LayerError when a gradient is asked for a label, weight or matrix."""
        for i in self.no_gradient:
            self.require(
                not (i < len(propagate_down) and propagate_down[i]),
                f"bottom[{i}] cannot get a gradient",
                hint="remove propagate_down: true, or the parameters below this bottom",
            )


class EuclideanLoss(Loss):
    """L = Σ (a - b)² / 2N      da = (a - b) / N = -db

    bottom[0]  a (N, *)
    bottom[1]  b, as many values      it may get a gradient too
    top[0]     L ()
    """

    type = "EuclideanLoss"
    no_gradient = ()

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        self.require(
            bottom[0].count() == bottom[1].count(),
            f"bottom[0] is {bottom[0].shape}, bottom[1] is {bottom[1].shape}: they need equally many values",
        )
        self.difference = self.scratch((bottom[0].count(),))
        self.total, self.ratio = self.scratch((1,), np.float64), self.scratch((), self.dtype)

    def forward(self, bottom, top):
        d = self.xp.subtract(bottom[0].data.reshape(-1), bottom[1].data.reshape(-1), out=self.difference.data)
        self.ops.row_dot(d[None], d[None], out=self.total.data)
        self.xp.multiply(self.total.data[0], 0.5 / self.batch, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        a, b, ratio = bottom[0].data.reshape(-1), bottom[1].data.reshape(-1), self.ratio.data
        self.xp.divide(top[0].diff, self.batch, out=ratio)
        for x, wanted, first, second in ((bottom[0], propagate_down[0], a, b), (bottom[1], propagate_down[1], b, a)):
            if wanted:
                dx = self.xp.subtract(first, second, out=x.diff.reshape(-1))
                self.xp.multiply(dx, ratio, out=dx)


class SigmoidCrossEntropyParams(Params):
    loss: LossParams = field(
        LossParams, LossParams(), beside=True, doc="what is ignored, and what the loss is divided by"
    )


class SigmoidCrossEntropyLoss(Loss):
    """L = -Σ (t log σ(x) + (1 - t) log(1 - σ(x))) / n      dx = (σ(x) - t) / n

    computed as max(x, 0) - x t + log(1 + exp(-|x|)). n is the batch size unless loss_param says otherwise.

    bottom[0]  x (N, *)      scores, any real numbers
    bottom[1]  t, as many values      targets in [0, 1]; only for ignore_label are they cut to whole numbers
    top[0]     L ()
    """

    type, Params = "SigmoidCrossEntropyLoss", SigmoidCrossEntropyParams

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        count, self.ignore = bottom[0].count(), self.params.loss.ignore_label
        self.require(
            count == bottom[1].count(),
            f"bottom[0] is {bottom[0].shape}, bottom[1] is {bottom[1].shape}: they need equally many values",
        )
        self.first, self.second = self.scratch((count,)), self.scratch((count,))
        self.flags, self.total = self.scratch((count,), bool), self.scratch((1,), np.float64)
        self.divisor = Divisor(
            self, self.params.loss.mode("BATCH_SIZE"), bottom[0].shape[0], count, self.ignore is not None
        )

    def valid(self, t, work):
        """The flags of the targets that count; None when all do."""
        if self.ignore is None:
            return None
        self.xp.trunc(t, out=work)
        return self.xp.not_equal(work, self.ignore, out=self.flags.data)

    def forward(self, bottom, top):
        xp, x, t = self.xp, bottom[0].data.reshape(-1), bottom[1].data.reshape(-1)
        loss, work = self.first.data, self.second.data
        xp.abs(x, out=loss)
        xp.negative(loss, out=loss)
        xp.exp(loss, out=loss)
        xp.log1p(loss, out=loss)
        xp.add(loss, xp.maximum(x, 0, out=work), out=loss)
        xp.subtract(loss, xp.multiply(x, t, out=work), out=loss)
        valid = self.valid(t, work)
        divisor = self.divisor.count(valid)
        if valid is not None:
            xp.copyto(loss, 0, where=xp.logical_not(valid, out=valid))
        self.ops.row_sum(loss[None], out=self.total.data)
        xp.divide(self.total.data[0], divisor, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        self.refuse_gradients(propagate_down)
        if not propagate_down[0]:
            return
        xp, x, t, dx = self.xp, bottom[0].data.reshape(-1), bottom[1].data.reshape(-1), bottom[0].diff.reshape(-1)
        sigmoid(xp, x, dx)
        xp.subtract(dx, t, out=dx)
        valid = self.valid(t, self.second.data)
        if valid is not None:
            xp.copyto(dx, 0, where=xp.logical_not(valid, out=valid))
        xp.multiply(dx, self.divisor.scale(top[0].diff), out=dx)


class ContrastiveLossParams(Params, message="contrastive_loss_param"):
    margin: float = field(float, 1.0, doc="dissimilar pairs at least this far apart cost nothing")
    legacy_version: bool = field(
        bool, False, doc="the margin is held against the squared distance, without a square around it"
    )


class ContrastiveLoss(Loss):
    """L = Σ (s d² + (1 - s) max(0, margin - d)²) / 2N      d = |a - b|

    da = (a - b) / N for similar pairs, -(margin - d) / (d + 1e-4) (a - b) / N for dissimilar ones within the margin,
    db = -da.
    The legacy form has max(0, margin - d²) and its gradient -(a - b) / N.

    bottom[0], bottom[1]  a, b (N, C)      further axes must be 1
    bottom[2]  s (N,)      0: dissimilar
    top[0]     L ()

    Source: Hadsell, Chopra, LeCun, "Dimensionality reduction by learning an invariant mapping", 2006
    """

    type, Params = "ContrastiveLoss", ContrastiveLossParams
    bottoms, no_gradient, batched = 3, (2,), (1, 2)

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        n = bottom[0].shape[0]
        for i in (0, 1):
            self.require(
                bottom[i].count() == bottom[i].count(0, 2), f"bottom[{i}] is {bottom[i].shape}, must be (N, C)"
            )
        self.require(
            bottom[0].count() == bottom[1].count(), f"bottom[0] is {bottom[0].shape}, bottom[1] is {bottom[1].shape}"
        )
        self.require(bottom[2].count() == n, f"bottom[2] is {bottom[2].shape}, must hold one flag per pair ({n})")
        self.pairs = (n, bottom[0].count(1))  # (N, C)
        self.difference, self.ratio = self.scratch(self.pairs), self.scratch((), self.dtype)
        self.squared, self.cost = self.scratch((n,)), self.scratch((n,))
        self.similar, self.total = self.scratch((n,), bool), self.scratch((), np.float64)

    def distances(self, bottom, difference):
        """a - b into `difference`; (d², whether similar)."""
        xp = self.xp
        a, b = bottom[0].data.reshape(self.pairs), bottom[1].data.reshape(self.pairs)
        xp.subtract(a, b, out=difference)
        self.ops.row_dot(difference, difference, out=self.squared.data)
        xp.trunc(bottom[2].data.reshape(-1), out=self.cost.data)
        return self.squared.data, xp.not_equal(self.cost.data, 0, out=self.similar.data)

    def forward(self, bottom, top):
        xp, margin, cost = self.xp, self.params.margin, self.cost.data
        squared, similar = self.distances(bottom, self.difference.data)
        xp.subtract(margin, squared if self.params.legacy_version else xp.sqrt(squared, out=cost), out=cost)
        xp.maximum(cost, 0, out=cost)
        if not self.params.legacy_version:
            xp.square(cost, out=cost)
        xp.copyto(cost, squared, where=similar)
        xp.sum(cost, dtype=np.float64, out=self.total.data)
        xp.divide(self.total.data, 2 * self.batch, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        self.refuse_gradients(propagate_down)
        if not any(propagate_down):
            return
        xp, margin, work = self.xp, self.params.margin, self.cost.data
        difference = self.difference.data
        factor, similar = self.distances(bottom, difference)  # factor starts as d²
        if self.params.legacy_version:  # -1 where d² < margin
            xp.less(factor, margin, out=work)
            xp.negative(work, out=factor)
        else:  # -(margin - d) / (d + 1e-4) where d < margin; Caffe's 1e-4 keeps equal pairs finite
            xp.sqrt(factor, out=factor)
            xp.add(factor, 1e-4, out=work)
            xp.subtract(factor, margin, out=factor)
            xp.minimum(factor, 0, out=factor)
            xp.divide(factor, work, out=factor)
        xp.copyto(factor, 1, where=similar)
        xp.divide(top[0].diff, self.batch, out=self.ratio.data)
        xp.multiply(factor, self.ratio.data, out=factor)
        for i, sign in ((0, xp.positive), (1, xp.negative)):
            if propagate_down[i]:
                dx = bottom[i].diff.reshape(self.pairs)
                xp.multiply(difference, sign(factor, out=work)[:, None], out=dx)


class SmoothL1LossParams(Params, message="smooth_l1_loss_param"):
    sigma: float = field(float, 1.0, above=0, doc="the border between square and linear lies at 1 / sigma²")
    abssum: bool = field(bool, True, doc="leaves the inside weights out of the gradient (right for weights of 0 and 1)")


class SmoothL1Loss(Loss):
    """L = Σ v f(w (a - b)) / N      f(d) = σ² d² / 2 where |d| < 1/σ², else |d| - 1/2σ²

    da = v f'(w (a - b)) / N = -db

    bottom[0], bottom[1]  a, b (N, *)
    bottom[2]  w, inside weights like a, optional
    bottom[3]  v, outside weights like a, optional
    top[0]     L ()

    The true gradient has another factor w; `abssum: false` keeps it, as Faster R-CNN does.

    Source: Girshick, "Fast R-CNN", 2015
    """

    type, Params = "SmoothL1Loss", SmoothL1LossParams
    bottoms, no_gradient = (2, 4), (2, 3)

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        for i, other in enumerate(bottom[1:], 1):
            self.require(
                other.count() == bottom[0].count(),
                f"bottom[0] is {bottom[0].shape}, bottom[{i}] is {other.shape}: they need equally many values",
            )
        count = bottom[0].count()
        self.difference, self.work = self.scratch((count,)), self.scratch((count,))
        self.total, self.ratio = self.scratch((1,), np.float64), self.scratch((), self.dtype)

    def weighted_difference(self, bottom):
        d = self.difference.data
        self.xp.subtract(bottom[0].data.reshape(-1), bottom[1].data.reshape(-1), out=d)
        if len(bottom) > 2:
            self.xp.multiply(d, bottom[2].data.reshape(-1), out=d)
        return d

    def forward(self, bottom, top):
        # with c = min(|d|, 1/σ²): f(d) = σ² c² / 2 + (|d| - c), without a branch
        xp, square, border = self.xp, self.params.sigma**2, self.params.sigma**-2
        d, c = self.weighted_difference(bottom), self.work.data
        xp.abs(d, out=d)
        xp.minimum(d, border, out=c)
        xp.subtract(d, c, out=d)
        xp.square(c, out=c)
        xp.multiply(c, square / 2, out=c)
        xp.add(d, c, out=d)
        if len(bottom) > 3:
            xp.multiply(d, bottom[3].data.reshape(-1), out=d)
        self.ops.row_sum(d[None], out=self.total.data)
        xp.divide(self.total.data[0], self.batch, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        self.refuse_gradients(propagate_down)
        if not any(propagate_down):
            return
        xp, square, border = self.xp, self.params.sigma**2, self.params.sigma**-2
        d = self.weighted_difference(bottom)
        xp.clip(d, -border, border, out=d)  # f'(d) = σ² clip(d, ±1/σ²)
        xp.multiply(d, square, out=d)
        if len(bottom) > 2 and not self.params.abssum:
            xp.multiply(d, bottom[2].data.reshape(-1), out=d)
        if len(bottom) > 3:
            xp.multiply(d, bottom[3].data.reshape(-1), out=d)
        xp.divide(top[0].diff, self.batch, out=self.ratio.data)
        xp.multiply(d, self.ratio.data, out=d)
        if propagate_down[0]:
            xp.copyto(bottom[0].diff.reshape(-1), d)
        if propagate_down[1]:
            xp.negative(d, out=bottom[1].diff.reshape(-1))
