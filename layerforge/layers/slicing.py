"""Layers that cut a piece out, or make an axis of tops or bottoms: Piece, StridedSlice, Unstack, Stack."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.layers.ordering import Reordered
from layerforge.netdef.params import Params, field


class PieceParams(Params, message="piece_param"):
    begin: tuple[int, ...] = field(int, repeated=True, at_least=0, doc="where the piece begins, per axis")
    size: tuple[int, ...] = field(int, repeated=True, at_least=-1, doc="its size, per axis; -1: to the end")


class Piece(Reordered):
    """y = x[begin : begin + size]      along every axis

    bottom[0]  x of any shape
    top[0]     y (*size)
    """

    type, Params = "Piece", PieceParams
    whole = False

    def reshape(self, bottom, top):
        p, shape = self.params, bottom[0].shape
        self.require(
            len(p.begin) == len(p.size) == len(shape),
            f"bottom[0] has {len(shape)} axes, begin {len(p.begin)} and size {len(p.size)} values",
        )
        ends = [n if s == -1 else b + s for b, s, n in zip(p.begin, p.size, shape)]
        self.require(
            all(b <= e <= n for b, e, n in zip(p.begin, ends, shape)),
            f"the piece from {list(p.begin)} to {ends} does not lie in {shape}",
            field="begin",
        )
        self.piece = tuple(slice(b, e) for b, e in zip(p.begin, ends))
        self.parts = [e - b for b, e in zip(p.begin, ends)]
        top[0].reshape(self.parts)

    def look(self, x):
        return x[self.piece]


class StridedSliceParams(Params, message="strided_slice_param"):
    begin: tuple[int, ...] = field(int, repeated=True, doc="where to begin, per axis; negative counts from the end")
    end: tuple[int, ...] = field(int, repeated=True, doc="where to stop, per axis; negative counts from the end")
    strides: tuple[int, ...] = field(int, repeated=True, doc="the steps, per axis, not 0; without: 1")
    axes: tuple[int, ...] = field(int, repeated=True, doc="the axes meant; without: the first ones, in order")
    begin_mask: int = field(int, 0, at_least=0, doc="bits of the axes whose begin does not count")
    end_mask: int = field(int, 0, at_least=0, doc="bits of the axes whose end does not count")
    ellipsis_mask: int = field(int, 0, at_least=0, doc="the bit of the entry that stands for all axes not named")
    new_axis_mask: int = field(int, 0, at_least=0, doc="bits of the entries that make a new axis of size 1")
    shrink_axis_mask: int = field(
        int, 0, at_least=0, doc="bits of the axes of which one place is taken and the axis dropped"
    )


class StridedSlice(Reordered):
    """y = x[begin : end : strides]      along the axes, as in TensorFlow and NumPy

    bottom[0]  x of any shape
    top[0]     y
    """

    type, Params = "StridedSlice", StridedSliceParams
    whole = False

    def setup(self, bottom, top):
        p, count = self.params, len(self.params.begin)
        self.require(
            len(p.end) == count and len(p.strides) in (0, count) and len(p.axes) in (0, count),
            f"begin has {count} values, end {len(p.end)}, strides {len(p.strides)}, axes {len(p.axes)}",
        )
        self.require(0 not in p.strides, "strides holds a 0", field="strides")
        self.require(
            p.ellipsis_mask & (p.ellipsis_mask - 1) == 0, "ellipsis_mask has several bits", field="ellipsis_mask"
        )

    def reshape(self, bottom, top):
        shape, entries = bottom[0].shape, self.entries()
        if self.params.axes:
            named = {self.axis(a, len(shape), field="axes"): e for a, e in zip(self.params.axes, entries)}
            entries = [named.get(i, slice(None)) for i in range(len(shape))]
        if Ellipsis not in entries:
            entries.append(Ellipsis)
        used = sum(e is not None and e is not Ellipsis for e in entries)
        self.require(used <= len(shape), f"{used} slices, but bottom[0] is {shape}", field="begin")
        self.index, self.parts, source = tuple(entries), [], 0
        for entry in entries:
            if entry is None:
                self.parts.append(1)
            elif entry is Ellipsis:
                self.parts += shape[source : source + len(shape) - used]
                source += len(shape) - used
            else:
                if isinstance(entry, slice):
                    self.parts.append(len(range(*entry.indices(shape[source]))))
                else:
                    self.require(
                        -shape[source] <= entry < shape[source], f"begin: {entry}, axis {source} has {shape[source]}"
                    )
                source += 1
        top[0].reshape(self.parts)

    def entries(self):
        """An index per entry: a slice, a number, None (new axis) or Ellipsis."""
        p, made = self.params, []
        for i, (begin, end) in enumerate(zip(p.begin, p.end)):
            bit = 1 << i
            if p.ellipsis_mask & bit:
                made.append(Ellipsis)
            elif p.new_axis_mask & bit:
                made.append(None)
            elif p.shrink_axis_mask & bit:
                made.append(begin)
            else:
                step = p.strides[i] if p.strides else 1
                made.append(slice(None if p.begin_mask & bit else begin, None if p.end_mask & bit else end, step))
        return made

    def look(self, x):
        return x[self.index]


class UnstackParams(Params, message="unstack_param"):
    num: int = field(int, 0, at_least=0, doc="how many tops; 0: as many as there are")
    axis: int = field(int, 0, doc="the axis that is taken apart; negative counts from the end")


class Unstack(Layer):
    """y_i = x[i]      along `axis`, which the tops do not have

    bottom[0]  x (*outer, n, *inner)
    top[i]     y_i (*outer, *inner), n of them
    """

    type, Params = "Unstack", UnstackParams
    tops = (1, None)

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        axis = self.axis(self.params.axis, len(shape))
        self.require(
            len(top) == shape[axis] and self.params.num in (0, len(top)),
            f"axis {axis} of bottom[0] has {shape[axis]} places, there are {len(top)} tops",
            field="num",
        )
        self.places = [(slice(None),) * axis + (i,) for i in range(len(top))]
        for y in top:
            y.reshape(*shape[:axis], *shape[axis + 1 :])

    def forward(self, bottom, top):
        x = bottom[0].data
        for y, place in zip(top, self.places):
            self.xp.copyto(y.data, x[(*place, Ellipsis)])

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            dx = bottom[0].diff
            for y, place in zip(top, self.places):
                self.xp.copyto(dx[(*place, Ellipsis)], y.diff)


class StackParams(Params, message="stack_param"):
    axis: int = field(int, 0, doc="the new axis; negative counts from one past the end")


class Stack(Layer):
    """y[i] = x_i      along a new axis

    bottom[i]  x_i (*outer, *inner), n of one shape
    top[0]     y (*outer, n, *inner)
    """

    type, Params = "Stack", StackParams
    bottoms = (1, None)

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        for i, x in enumerate(bottom):
            self.require(x.shape == shape, f"bottom[{i}] is {x.shape}, bottom[0] is {shape}")
        axis = self.axis(self.params.axis, len(shape), extra=1)
        self.places = [(slice(None),) * axis + (i, Ellipsis) for i in range(len(bottom))]
        top[0].reshape(*shape[:axis], len(bottom), *shape[axis:])

    def forward(self, bottom, top):
        y = top[0].data
        for x, place in zip(bottom, self.places):
            self.xp.copyto(y[place], x.data)

    def backward(self, top, propagate_down, bottom):
        dy = top[0].diff
        for x, place, wanted in zip(bottom, self.places, propagate_down):
            if wanted:
                self.xp.copyto(x.diff, dy[place])
