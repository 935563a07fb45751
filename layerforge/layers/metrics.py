"""Layers that measure and have no gradient: Accuracy."""

from __future__ import annotations

import numpy as np

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
        self.share(hit, valid, top[0].data)
        if len(top) > 1:
            self.per_class(hit, index.reshape(-1), top[1].data)

    def share(self, hit, valid, out):
        """out = Σ hit / max(1, Σ valid)"""
        xp = self.xp
        xp.sum(hit, dtype=np.float64, out=self.hits.data)
        xp.sum(valid, dtype=np.float64, out=self.items.data)
        xp.maximum(self.items.data, 1, out=self.items.data)
        xp.divide(self.hits.data, self.items.data, out=out)

    def per_class(self, hit, index, out):
        """out[c] = hits of class c / max(1, items of class c)"""
        xp, ones, items = self.xp, self.ones.data, self.class_items.data
        out.fill(0)
        xp.copyto(ones, hit.reshape(-1, 1))
        self.ops.add_rows(ones, index, acc=out[:, None])
        items.fill(0)
        ones.fill(1)
        self.ops.add_rows(ones, index, acc=items)
        xp.maximum(items, 1, out=items)
        xp.divide(out, items[:, 0], out=out)
