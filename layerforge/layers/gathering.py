"""Layers that pick slices by index: Gather, GatherV2, OneHot."""

from __future__ import annotations

import math

import numpy as np

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class GatherParams(Params, message="gather_param"):
    indices: tuple[int, ...] = field(int, repeated=True, at_least=0, doc="the places that are taken")
    shape: tuple[int, ...] = field(
        int, repeated=True, at_least=0, doc="the shape of indices; without: one index, the axis is dropped"
    )
    axis: int = field(int, 0, doc="the axis they are taken from; negative counts from the end")


class Gather(Layer):
    """y[o, m, i] = x[o, indices[m], i]      along `axis`; dx adds up over equal indices

    bottom[0]  x (*outer, n, *inner)
    top[0]     y (*outer, *shape, *inner)
    """

    type, Params = "Gather", GatherParams

    def reshape(self, bottom, top):
        p, size = self.params, self.shapes(bottom, top, self.params.shape)
        self.require(
            len(p.indices) == math.prod(p.shape), f"{len(p.indices)} indices for the shape {p.shape}", field="indices"
        )
        self.require(
            all(i < size for i in p.indices),
            f"indices: {max(p.indices, default=0)}, but there are {size}",
            field="indices",
        )
        self.rows = self.constant(np.add.outer(np.arange(self.outer) * size, p.indices).reshape(-1), np.int32)

    def shapes(self, bottom, top, picked):
        """Shapes the top for indices of the shape `picked`; the size of the axis."""
        shape = bottom[0].shape
        axis = self.axis(self.params.axis, len(shape))
        self.outer, inner = bottom[0].count(0, axis), bottom[0].count(axis + 1)
        self.source, self.target = (self.outer * shape[axis], inner), (self.outer * math.prod(picked), inner)
        top[0].reshape(*shape[:axis], *picked, *shape[axis + 1 :])
        return shape[axis]

    def index(self, bottom):
        """The rows of x, seen as `source`, that y holds, int32."""
        return self.rows.data

    def forward(self, bottom, top):
        x, y = bottom[0].data.reshape(self.source), top[0].data.reshape(self.target)
        self.ops.take_rows(x, self.index(bottom), out=y)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            dx = bottom[0].diff.reshape(self.source)
            dx.fill(0)
            self.ops.add_rows(top[0].diff.reshape(self.target), self.index(bottom), acc=dx)


class GatherV2Params(Params, message="gather_v2_param"):
    axis: int = field(int, 0, doc="the axis slices are taken from; negative counts from the end")


class GatherV2(Gather):
    """y[o, m, i] = x[o, r[m], i]      along `axis`; dx adds up over equal indices

    bottom[0]  x (*outer, n, *inner)
    bottom[1]  r of any shape, places along the axis, cut to whole numbers
    top[0]     y (*outer, *shape of r, *inner)

    Raises LayerError for an index that is no place.
    """

    type, Params = "GatherV2", GatherV2Params
    bottoms, no_gradient = 2, (1,)

    def reshape(self, bottom, top):
        self.size = self.shapes(bottom, top, bottom[1].shape)
        count = bottom[1].count()
        self.places, self.rows = self.scratch((count,), np.int32), self.scratch((self.outer, count), np.int32)
        self.offsets = self.constant(np.arange(self.outer)[:, None] * self.size, np.int32)

    def index(self, bottom):
        wanted, places = bottom[1].data.reshape(-1), self.places.data
        bad = self.ops.to_index(wanted, self.size, out=places)
        if bad is not None:
            self.require(False, f"bottom[1] asks for place {float(wanted[bad]):g} of an axis of {self.size}")
        return self.xp.add(self.offsets.data, places, out=self.rows.data).reshape(-1)

    def backward(self, top, propagate_down, bottom):
        self.require(not propagate_down[1], "bottom[1] holds indices and cannot get a gradient")
        super().backward(top, propagate_down, bottom)


class OneHotParams(Params, message="one_hot_param"):
    depth: int = field(int, required=True, at_least=1, doc="the size of the new axis")
    on_value: float = field(float, 1.0, doc="what stands at the place of the value")
    off_value: float = field(float, 0.0, doc="what stands elsewhere")
    axis: int = field(int, -1, doc="where the new axis stands in the top; negative counts from its end")


class OneHot(Layer):
    """y[o, d, i] = on_value where d = x[o, i], else off_value      without gradient

    bottom[0]  x (*outer, *inner)      cut to whole numbers
    top[0]     y (*outer, depth, *inner)
    """

    type, Params = "OneHot", OneHotParams
    no_gradient = (0,)

    def reshape(self, bottom, top):
        p, shape = self.params, bottom[0].shape
        axis = self.axis(p.axis, len(shape), extra=1)
        self.outer, self.inner = bottom[0].count(0, axis), bottom[0].count(axis)
        self.classes, self.whole = self.constant(np.arange(p.depth)[:, None]), self.scratch((self.outer, 1, self.inner))
        top[0].reshape(*shape[:axis], p.depth, *shape[axis:])

    def forward(self, bottom, top):
        p, xp, y = self.params, self.xp, top[0].data.reshape(self.outer, self.params.depth, self.inner)
        whole = xp.trunc(bottom[0].data.reshape(self.outer, 1, self.inner), out=self.whole.data)
        xp.equal(whole, self.classes.data, out=y)
        xp.multiply(y, p.on_value - p.off_value, out=y)
        xp.add(y, p.off_value, out=y)
