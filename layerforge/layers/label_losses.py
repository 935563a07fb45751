"""Losses over labels: SoftmaxWithLoss, HingeLoss, MultinomialLogisticLoss, InfogainLoss."""

from __future__ import annotations

import numpy as np

from layerforge.core.files import find_path
from layerforge.layers.labels import Divisor, Labels, LossParams
from layerforge.layers.losses import Loss
from layerforge.layers.softmax import SoftmaxParams
from layerforge.netdef.params import Params, field
from layerforge.schema.blob_file import read_blob

SMALLEST = float(np.finfo(np.float32).tiny)  # Caffe's FLT_MIN: the least probability a logarithm is taken of


class SoftmaxWithLossParams(SoftmaxParams, message="softmax_param"):
    loss: LossParams = field(
        LossParams, LossParams(), beside=True, doc="what is ignored, and what the loss is divided by"
    )


class SoftmaxWithLoss(Loss):
    """L = -Σ w[l] log softmax(x)[l] / n      dx[c] = w[l] (softmax(x)[c] - [c = l]) / n      along `axis`

    n is the number of items that count unless loss_param says otherwise; w is 1, or class_weighting where
    weight_by_label_freqs is set.

    bottom[0]  x (*outer, C, *inner)
    bottom[1]  l, one label per item (outer · inner), cut to whole numbers
    top[0]     L ()
    top[1]     the probabilities, like x, optional

    Raises LayerError for a label that is no class.
    """

    type, Params = "SoftmaxWithLoss", SoftmaxWithLossParams
    tops = (1, 2)

    def setup(self, bottom, top):
        p = self.params.loss
        self.class_weights = self.constant(np.array(p.class_weighting)) if p.weight_by_label_freqs else None

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        axis, p = self.axis(self.params.axis, bottom[0].ndim), self.params.loss
        outer, classes, inner = self.view = (bottom[0].count(0, axis), bottom[0].shape[axis], bottom[0].count(axis + 1))
        weights = p.class_weighting
        self.require(
            self.class_weights is None or len(weights) == classes,
            f"class_weighting has {len(weights)} values for {classes} classes",
        )
        self.labels = Labels(self, bottom[1], classes, outer, inner, p.ignore_label)
        self.divisor = Divisor(self, p.mode(), outer, outer * inner, p.ignore_label is not None)
        self.probability = self.kept(self.view) if len(top) < 2 else None
        self.picked, self.item_weights = self.scratch((outer, inner)), self.scratch((outer, inner))
        self.valid, self.total = self.scratch((outer, inner), bool), self.scratch((), np.float64)
        if len(top) > 1:
            top[1].reshape(bottom[0].shape)

    def probabilities(self, top):
        """softmax(x) (outer, C, inner): the second top's own memory where there is one."""
        return top[1].data.reshape(self.view) if self.probability is None else self.probability.data

    def weigh(self, index):
        """w[l] (outer, inner), 0 where ignored."""
        self.ops.select(self.class_weights.data.reshape(1, -1, 1), index, out=self.item_weights.data)
        return self.item_weights.data

    def forward(self, bottom, top):
        xp, y, picked = self.xp, self.probabilities(top), self.picked.data
        self.ops.softmax(bottom[0].data.reshape(self.view), out=y)
        index = self.labels.read()
        self.ops.select(y, index, out=picked, fill=1.0)  # log 1 = 0: ignored items add nothing
        xp.maximum(picked, SMALLEST, out=picked)
        xp.log(picked, out=picked)
        if self.class_weights is not None:
            xp.multiply(picked, self.weigh(index), out=picked)
        xp.sum(picked, dtype=np.float64, out=self.total.data)
        xp.negative(self.total.data, out=self.total.data)
        divisor = self.divisor.count(xp.greater_equal(index, 0, out=self.valid.data))
        xp.divide(self.total.data, divisor, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        self.refuse_gradients(propagate_down)
        if not propagate_down[0]:
            return
        xp, y, dx, index = self.xp, self.probabilities(top), bottom[0].diff.reshape(self.view), self.labels.index
        scale, weights = self.divisor.scale(top[0].diff), self.item_weights.data
        if self.class_weights is not None:
            xp.multiply(self.weigh(index), scale, out=weights)
        elif self.labels.ignore is not None:
            xp.multiply(xp.greater_equal(index, 0, out=self.valid.data), scale, out=weights)
        else:  # one factor for all
            xp.multiply(y, scale, out=dx)
            weights.fill(0)
            xp.subtract(weights, scale, out=weights)
            self.ops.add_selected(weights, index, acc=dx)
            return
        xp.multiply(y, weights[:, None], out=dx)  # (outer, C, inner)
        xp.negative(weights, out=weights)
        self.ops.add_selected(weights, index, acc=dx)


class HingeLossParams(Params, message="hinge_loss_param"):
    norm: str = field(str, "L1", choices=("L1", "L2"), doc="L2 squares what exceeds the margin")


class HingeLoss(Loss):
    """L = Σ_n Σ_c max(0, 1 - s x[n, c])^p / N      s = 1 where c is the label, else -1; p = 1 (L1) or 2 (L2)

    bottom[0]  x (N, *)      scores, all axes but the first are classes
    bottom[1]  one label per row
    top[0]     L ()
    """

    type, Params = "HingeLoss", HingeLossParams

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        self.rows = (bottom[0].shape[0], bottom[0].count(1))  # (N, C)
        self.labels = Labels(self, bottom[1], self.rows[1], self.rows[0], 1)
        self.excess, self.picked = self.scratch(self.rows), self.scratch((self.rows[0], 1))
        self.total, self.ratio = self.scratch((1,), np.float64), self.scratch((), self.dtype)

    def flip(self, values, index):
        """Changes the sign at the labels."""
        picked = self.picked.data
        self.ops.select(values[:, :, None], index, out=picked)
        self.xp.multiply(picked, -2, out=picked)
        self.ops.add_selected(picked, index, acc=values[:, :, None])

    def margins(self, x, index, out):
        """max(0, 1 - s x)"""
        self.xp.copyto(out, x)
        self.flip(out, index)
        self.xp.add(out, 1, out=out)
        self.xp.maximum(out, 0, out=out)
        return out

    def forward(self, bottom, top):
        excess, total = (
            self.margins(bottom[0].data.reshape(self.rows), self.labels.read(), self.excess.data),
            self.total.data,
        )
        flat = excess.reshape(1, -1)
        if self.params.norm == "L1":
            self.ops.row_sum(flat, out=total)
        else:
            self.ops.row_dot(flat, flat, out=total)
        self.xp.divide(total[0], self.batch, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        self.refuse_gradients(propagate_down)
        if not propagate_down[0]:
            return
        dx, index, ratio = bottom[0].diff.reshape(self.rows), self.labels.index, self.ratio.data
        self.margins(bottom[0].data.reshape(self.rows), index, dx)
        if self.params.norm == "L1":
            self.xp.sign(dx, out=dx)
        self.flip(dx, index)
        self.xp.multiply(top[0].diff, (1 if self.params.norm == "L1" else 2) / self.batch, out=ratio)
        self.xp.multiply(dx, ratio, out=dx)


LEAST_LOG = 1e-20  # Caffe's kLOG_THRESHOLD


class MultinomialLogisticLoss(Loss):
    """L = -Σ log p[n, l_n] / N      dp[n, l_n] = -1 / (N p[n, l_n]); probabilities count as at least 1e-20

    bottom[0]  p (N, *)      probabilities, all axes but the first are classes
    bottom[1]  one label per row
    top[0]     L ()
    """

    type = "MultinomialLogisticLoss"

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        self.view = (bottom[0].shape[0], bottom[0].count(1), 1)  # (N, C, 1)
        self.labels = Labels(self, bottom[1], self.view[1], self.view[0], 1)
        self.picked, self.total = self.scratch((self.view[0], 1)), self.scratch((), np.float64)
        self.ratio = self.scratch((), self.dtype)

    def pick(self, bottom, index):
        picked = self.picked.data
        self.ops.select(bottom[0].data.reshape(self.view), index, out=picked)
        return self.xp.maximum(picked, LEAST_LOG, out=picked)

    def forward(self, bottom, top):
        picked = self.pick(bottom, self.labels.read())
        self.xp.log(picked, out=picked)
        self.xp.sum(picked, dtype=np.float64, out=self.total.data)
        self.xp.divide(self.total.data, -self.batch, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        self.refuse_gradients(propagate_down)
        if not propagate_down[0]:
            return
        picked, dx = self.pick(bottom, self.labels.index), bottom[0].diff
        self.xp.divide(top[0].diff, -self.batch, out=self.ratio.data)
        self.xp.divide(self.ratio.data, picked, out=picked)
        dx.fill(0)
        self.ops.add_selected(picked, self.labels.index, acc=dx.reshape(self.view))


class InfogainLossParams(Params, message="infogain_loss_param"):
    source: str = field(str, "", doc="a .binaryproto file with the matrix, where no third bottom gives it")
    axis: int = field(int, 1, doc="the axis of the classes; negative counts from the end")
    loss: LossParams = field(
        LossParams, LossParams(), beside=True, doc="what is ignored, and what the loss is divided by"
    )


class InfogainLoss(Loss):
    """L = -Σ Σ_c H[l, c] log softmax(x)[c] / n      dx[c] = (softmax(x)[c] Σ_j H[l, j] - H[l, c]) / n      along `axis`

    n is the number of items that count unless loss_param says otherwise. Probabilities count as at least 1e-20.

    bottom[0]  x (*outer, C, *inner)
    bottom[1]  l, one label per item (outer · inner), cut to whole numbers
    bottom[2]  H (C, C), what each class gains where another is right; optional, else it is read from `source`
    top[0]     L ()
    top[1]     the probabilities, like x, optional

    Raises LayerError for a label that is no class, DataError when the file cannot be read.
    """

    type, Params = "InfogainLoss", InfogainLossParams
    bottoms, tops = (2, 3), (1, 2)
    no_gradient = (1, 2)

    def setup(self, bottom, top):
        p = self.params
        self.require(not p.loss.has("normalize"), "normalize is too old for this layer", hint="use normalization")
        self.matrix = None
        if len(bottom) < 3:
            self.require(bool(p.source), "no third bottom and no source: where is the matrix?")
            path = find_path(p.source, self.folder, what="infogain matrix", where=p.where("source"))
            self.matrix = self.constant(read_blob(path))

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        axis, p = self.axis(self.params.axis, bottom[0].ndim), self.params
        outer, classes, inner = self.view = (bottom[0].count(0, axis), bottom[0].shape[axis], bottom[0].count(axis + 1))
        matrix = self.matrix or bottom[2]
        self.require(
            matrix.count() == classes**2, f"the matrix is {matrix.shape}, {classes} classes need {(classes, classes)}"
        )
        self.labels = Labels(self, bottom[1], classes, outer, inner, p.loss.ignore_label)
        self.divisor = Divisor(self, p.loss.mode(), outer, outer * inner, p.loss.ignore_label is not None)
        self.probability = self.kept(self.view)
        self.gains, self.logs = self.scratch((outer * inner, classes)), self.scratch(self.view)
        self.sums, self.picked = self.scratch((classes,)), self.scratch((outer, inner))
        self.valid, self.total = self.scratch((outer, inner), bool), self.scratch((), np.float64)
        if len(top) > 1:
            top[1].reshape(bottom[0].shape)

    def gain(self, bottom, index):
        """H, and H[l] as (outer, C, inner), 0 where ignored."""
        outer, classes, inner = self.view
        matrix, gains = (self.matrix or bottom[2]).data.reshape(classes, classes), self.gains.data
        self.ops.take_rows(matrix, index.reshape(-1), out=gains)
        return matrix, gains.reshape(outer, inner, classes).swapaxes(1, 2)

    def forward(self, bottom, top):
        xp, y, logs = self.xp, self.probability.data, self.logs.data
        self.ops.softmax(bottom[0].data.reshape(self.view), out=y)
        index = self.labels.read()
        _, gains = self.gain(bottom, index)
        xp.maximum(y, LEAST_LOG, out=logs)
        xp.log(logs, out=logs)
        xp.multiply(logs, gains, out=logs)
        xp.sum(logs, dtype=np.float64, out=self.total.data)
        xp.negative(self.total.data, out=self.total.data)
        divisor = self.divisor.count(xp.greater_equal(index, 0, out=self.valid.data))
        xp.divide(self.total.data, divisor, out=top[0].data)
        if len(top) > 1:
            xp.copyto(top[1].data.reshape(self.view), y)

    def backward(self, top, propagate_down, bottom):
        self.refuse_gradients(propagate_down)
        if not propagate_down[0]:
            return
        xp, dx, index, picked = self.xp, bottom[0].diff.reshape(self.view), self.labels.index, self.picked.data
        matrix, gains = self.gain(bottom, index)
        xp.sum(matrix, axis=1, out=self.sums.data)
        self.ops.select(self.sums.data.reshape(1, -1, 1), index, out=picked)
        xp.multiply(self.probability.data, picked[:, None], out=dx)  # (outer, C, inner)
        xp.subtract(dx, gains, out=dx)
        xp.multiply(dx, self.divisor.scale(top[0].diff), out=dx)
