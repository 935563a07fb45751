"""Layers that measure and have no gradient: Accuracy, SegAccuracy."""

from __future__ import annotations

import numpy as np

from layerforge.backends.ops.scatter import SKIPPED
from layerforge.layers.base import Layer
from layerforge.layers.labels import Labels
from layerforge.netdef.params import Params, field


class AccuracyParams(Params, message="accuracy_param"):
    top_k: int = field(int, 1, at_least=1, doc="the label must be among this many best scores")
    axis: int = field(int, 1, doc="the axis of the classes; negative counts from the end")
    ignore_label: int | None = field(int, doc="items with this label do not count")


class Accuracy(Layer):
    """y = share of the items whose label is among the top_k scores; scores equal to the label's count as better

    bottom[0]  x (*outer, C, *inner)
    bottom[1]  one label per item (outer · inner), cut to whole numbers
    top[0]     y ()      0 when no item counts
    top[1]     the same per class (C,), optional; 0 for classes that do not occur

    Raises LayerError for a label that is no class.
    """

    type, Params = "Accuracy", AccuracyParams
    bottoms, tops = 2, (1, 2)
    no_gradient = (0, 1)

    def reshape(self, bottom, top):
        p = self.params
        axis = self.axis(p.axis, bottom[0].ndim)
        outer, classes, inner = self.view = (bottom[0].count(0, axis), bottom[0].shape[axis], bottom[0].count(axis + 1))
        self.require(p.top_k <= classes, f"top_k: {p.top_k}, but there are {classes} classes", field="top_k")
        self.labels = Labels(self, bottom[1], classes, outer, inner, p.ignore_label)
        items = (outer, inner)
        self.score, self.better = self.scratch(items), self.scratch(self.view, bool)
        self.rank, self.hit, self.valid = (
            self.scratch(items, np.int32),
            self.scratch(items, bool),
            self.scratch(items, bool),
        )
        self.hits, self.items = self.scratch((), np.float64), self.scratch((), np.float64)
        top[0].reshape(())
        if len(top) > 1:
            self.ones = self.scratch((outer * inner, 1))
            self.class_items = self.scratch((classes, 1))
            top[1].reshape(classes)

    def forward(self, bottom, top):
        xp, x, index = self.xp, bottom[0].data.reshape(self.view), self.labels.read()
        score, rank, hit, valid = self.score.data, self.rank.data, self.hit.data, self.valid.data
        self.ops.select(x, index, out=score)
        xp.greater_equal(x, score[:, None], out=self.better.data)  # (outer, C, inner)
        xp.sum(self.better.data, axis=1, dtype=np.int32, out=rank)  # the label's own score is one of them
        xp.less_equal(rank, self.params.top_k, out=hit)
        xp.greater_equal(index, 0, out=valid)
        xp.logical_and(hit, valid, out=hit)
        xp.sum(hit, dtype=np.float64, out=self.hits.data)
        xp.sum(valid, dtype=np.float64, out=self.items.data)
        divide(xp, self.hits.data, self.items.data, top[0].data)
        if len(top) > 1:
            self.per_class(hit, index.reshape(-1), top[1].data)

    def per_class(self, hit, index, out):
        """out[c] = hits of class c / max(1, items of class c)"""
        xp, ones, items = self.xp, self.ones.data, self.class_items.data
        out.fill(0)
        xp.copyto(ones, hit.reshape(-1, 1))
        self.ops.add_rows(ones, index, acc=out[:, None])
        items.fill(0)
        ones.fill(1)
        self.ops.add_rows(ones, index, acc=items)
        divide(xp, out, items[:, 0], out)


class SegAccuracyParams(Params, message="seg_accuracy_param"):
    metric: str = field(
        str,
        "PixelAccuracy",
        choices=("PixelAccuracy", "ClassAccuracy", "PixelIOU"),
        doc="of no effect: all three are given",
    )
    ignore_label: tuple[int, ...] = field(int, repeated=True, doc="pixels with these labels do not count")
    reset: bool = field(bool, True, doc="counts start afresh with every batch; false: they go on")


class SegAccuracy(Layer):
    """With the counts M[l, p] of pixels of class l where class p has the best score, R = row sums, S = column sums:

    y = (Σ M[c, c] / Σ M, mean of M[c, c] / R[c] over the classes that occur, mean of M[c, c] / (R[c] + S[c] - M[c, c]))

    The last counts a class as 1 that neither occurs nor is predicted. Of equal scores the later class is the best.

    bottom[0]  x (N, C, *)      scores
    bottom[1]  one label per pixel, cut to whole numbers
    top[0]     y (1, 1, 1, 3)

    Raises LayerError for a label that is no class.
    Source: the DeepLab and PSPNet forks
    """

    type, Params = "SegAccuracy", SegAccuracyParams
    bottoms = 2
    no_gradient = (0, 1)
    counts = None

    def reshape(self, bottom, top):
        self.require(bottom[0].ndim > 1, f"bottom[0] is {bottom[0].shape}, must be (N, C, ...)")
        outer, classes, inner = self.view = (bottom[0].shape[0], bottom[0].shape[1], bottom[0].count(2))
        self.labels = Labels(self, bottom[1], classes, outer, inner, *self.params.ignore_label)
        if self.counts is None or self.counts.shape != (classes**2, 1):
            self.counts = self.kept((classes**2, 1), np.float64)
        self.best, self.score = self.scratch((outer, 1, inner), np.int32), self.scratch((outer, 1, inner))
        self.flags, self.ones = self.scratch((outer, inner), bool), self.scratch((outer * inner, 1), np.float64)
        self.rows, self.union, self.hits, self.share = (self.scratch((classes,), np.float64) for _ in range(4))
        self.first, self.second = self.scratch((), np.float64), self.scratch((), np.float64)
        top[0].reshape(1, 1, 1, 3)

    def forward(self, bottom, top):
        classes, counts, ones = self.view[1], self.counts.data, self.ones.data
        if self.params.reset:
            counts.fill(0)
        ones.fill(1)
        self.ops.add_rows(ones, self.pairs(bottom).reshape(-1), acc=counts)
        self.measure(counts.reshape(classes, classes), top[0].data.reshape(3))

    def pairs(self, bottom):
        """label · C + best class (outer, inner), SKIPPED where ignored."""
        xp, best, index = self.xp, self.best.data, self.labels.read()
        self.ops.top_k(bottom[0].data.reshape(self.view), index=best, values=self.score.data)
        xp.multiply(index, self.view[1], out=index)
        xp.add(index, best[:, 0], out=index)  # at most -1 where skipped
        xp.copyto(index, SKIPPED, where=xp.less(index, 0, out=self.flags.data))
        return index

    def measure(self, counts, out):
        """The three numbers from the counts (C, C)."""
        xp, rows, union, hits, share = self.xp, self.rows.data, self.union.data, self.hits.data, self.share.data
        xp.copyto(hits, counts.reshape(-1)[:: len(counts) + 1])  # the diagonal
        xp.sum(counts, axis=1, out=rows)
        xp.sum(counts, axis=0, out=union)
        xp.add(union, rows, out=union)
        xp.subtract(union, hits, out=union)
        divide(xp, xp.sum(hits, out=self.first.data), xp.sum(rows, out=self.second.data), out[:1])
        xp.divide(hits, xp.maximum(rows, 1, out=share), out=share)
        xp.minimum(rows, 1, out=rows)  # 1 for classes that occur
        divide(xp, xp.sum(share, out=self.first.data), xp.sum(rows, out=self.second.data), out[1:2])
        xp.less(union, 1, out=rows)  # 1 for classes that are nowhere
        xp.divide(hits, xp.maximum(union, 1, out=union), out=share)
        xp.add(share, rows, out=share)
        xp.mean(share, out=self.first.data)
        xp.copyto(out[2:], self.first.data, casting="same_kind")


def divide(xp, hits, items, out):
    """out = hits / items, 0 where there are no items. `items` is changed."""
    xp.divide(hits, xp.maximum(items, 1, out=items), out=out)
