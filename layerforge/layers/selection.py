"""Layers that pick: ArgMax, BatchReindex, Filter."""

from __future__ import annotations

import numpy as np

from layerforge.core.storage import HOST
from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class ArgMaxParams(Params, message="argmax_param"):
    out_max_val: bool = field(bool, False, doc="gives values: with axis instead of indices, without axis behind them")
    top_k: int = field(int, 1, at_least=1, doc="how many")
    axis: int = field(int, 0, doc="the axis that is searched; not set: all axes but the first as one")
    min_first: bool = field(bool, False, doc="the smallest instead of the largest")


class ArgMax(Layer):
    """y = the places of the top_k largest values, largest first; of equal values the later place comes first

    bottom[0]  x (*outer, C, *inner)
    top[0]     with axis: (*outer, top_k, *inner), places or values
               without: (N, 1, top_k) places, or (N, 2, top_k) places and values; 4 axes for x of 4
    """

    type, Params = "ArgMax", ArgMaxParams
    no_gradient = (0,)

    def reshape(self, bottom, top):
        p, shape = self.params, bottom[0].shape
        self.by_axis = p.has("axis")
        if self.by_axis:
            axis = self.axis(p.axis, len(shape))
            self.view = (bottom[0].count(0, axis), shape[axis], bottom[0].count(axis + 1))  # (outer, C, inner)
            top[0].reshape(*shape[:axis], p.top_k, *shape[axis + 1 :])
        else:
            self.require(len(shape) > 0, "bottom[0] has no axes")
            self.view = (shape[0], bottom[0].count(1), 1)
            top[0].reshape(shape[0], 2 if p.out_max_val else 1, p.top_k, *(1,) * (len(shape) - 3))
        self.require(p.top_k <= self.view[1], f"top_k: {p.top_k}, but there are {self.view[1]} values", field="top_k")
        found = (self.view[0], p.top_k, self.view[2])
        self.index, self.values = self.scratch(found, np.int32), self.scratch(found)

    def forward(self, bottom, top):
        p, index, values = self.params, self.index.data, self.values.data
        self.ops.top_k(bottom[0].data.reshape(self.view), index=index, values=values, smallest=p.min_first)
        if self.by_axis or not p.out_max_val:
            self.xp.copyto(top[0].data.reshape(index.shape), values if p.out_max_val else index, casting="unsafe")
        else:
            y = top[0].data.reshape(self.view[0], 2, p.top_k)
            self.xp.copyto(y[:, 0], index[:, :, 0], casting="unsafe")
            self.xp.copyto(y[:, 1], values[:, :, 0])


class BatchReindex(Layer):
    """y[i] = x[r_i]      dx[j] = Σ dy[i] over all i with r_i = j

    bottom[0]  x (N, *)
    bottom[1]  r (M,)      places in the batch, cut to whole numbers
    top[0]     y (M, *)

    Raises LayerError for an index outside the batch.
    """

    type = "BatchReindex"
    bottoms = 2
    no_gradient = (1,)

    def reshape(self, bottom, top):
        self.require(bottom[0].ndim > 0, "bottom[0] has no axes, its first must be the batch")
        self.require(bottom[1].ndim == 1, f"bottom[1] is {bottom[1].shape}, must have one axis")
        top[0].reshape(*bottom[1].shape, *bottom[0].shape[1:])
        self.index = self.kept(bottom[1].shape, np.int32)

    def forward(self, bottom, top):
        n, wanted, index = bottom[0].shape[0], bottom[1].data, self.index.data
        bad = self.ops.to_index(wanted, n, out=index)
        if bad is not None:
            self.require(
                False, f"bottom[1] asks for item {float(wanted[bad]):g} (at position {bad}), the batch has {n}"
            )
        if index.size:
            self.ops.take_rows(bottom[0].data.reshape(n, -1), index, out=top[0].data.reshape(index.size, -1))

    def backward(self, top, propagate_down, bottom):
        self.require(not propagate_down[1], "bottom[1] holds indices and cannot get a gradient")
        if propagate_down[0]:
            dx, index = bottom[0].diff, self.index.data
            dx.fill(0)
            if index.size:
                self.ops.add_rows(top[0].diff.reshape(index.size, -1), index, acc=dx.reshape(dx.shape[0], -1))


class Filter(Layer):
    """y_i = the rows of x_i whose selector is not 0, in their order      dx_i is 0 for the others

    bottom[i]   x_i (N, *)
    bottom[-1]  selector (N,), further axes must be 1
    top[i]      y_i (M, *)      M depends on the selector's values; before there are any it is N
    """

    type = "Filter"
    bottoms, tops = (2, None), (1, None)
    dynamic = True
    captured, uncaptured_reason = False, "the number of rows depends on values"

    @property
    def no_gradient(self):
        return (len(self.definition.bottoms) - 1,)

    def setup(self, bottom, top):
        self.require(
            len(top) == len(bottom) - 1,
            f"{len(bottom)} bottoms need {len(bottom) - 1} tops, got {len(top)}",
            hint="the last bottom is the selector",
        )

    def reshape(self, bottom, top):
        selector = bottom[-1]
        n = selector.shape[0] if selector.ndim else 0
        self.require(selector.ndim > 0 and selector.count() == n, f"the selector is {selector.shape}, must be (N,)")
        for i, x in enumerate(bottom[:-1]):
            self.require(x.ndim > 0 and x.shape[0] == n, f"bottom[{i}] is {x.shape}, the selector has {n} flags")
        flags = selector.blob.data
        self.rows = np.flatnonzero(flags.array(HOST)) if flags.allocated else np.arange(n)
        self.index = self.kept(self.rows.shape, np.int32)
        for x, y in zip(bottom, top):
            y.reshape(len(self.rows), *x.shape[1:])

    def forward(self, bottom, top):
        if not len(self.rows):
            return
        index = self.index.data
        self.backend.representation.from_host(self.rows.astype(np.int32), index)
        for x, y in zip(bottom, top):
            self.ops.take_rows(x.data.reshape(x.shape[0], -1), index, out=y.data.reshape(index.size, -1))

    def backward(self, top, propagate_down, bottom):
        self.require(not propagate_down[-1], "the selector cannot get a gradient")
        for x, y, wanted in zip(bottom, top, propagate_down):
            if wanted:
                dx = x.diff
                dx.fill(0)
                if len(self.rows):
                    self.ops.add_rows(
                        y.diff.reshape(len(self.rows), -1), self.index.data, acc=dx.reshape(dx.shape[0], -1)
                    )
