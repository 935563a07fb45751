"""Layers that put values into another order: Permute, ShuffleChannel, Reverse, ReverseSequence, DepthToSpace, …"""

from __future__ import annotations

import math

import numpy as np

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class Reordered(Layer):
    """Base of layers whose top holds values of the bottom in another order.

    Subclasses set `parts` in reshape and write `look`.

    parts   the shape the top is seen in
    whole   every value of the bottom is in the top
    """

    whole = True

    def look(self, x):
        """The values of the bottom's array as a view of it, of the shape `parts`."""
        raise NotImplementedError

    def forward(self, bottom, top):
        self.xp.copyto(top[0].data.reshape(self.parts), self.look(bottom[0].data))

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            dx = bottom[0].diff
            if not self.whole:
                dx.fill(0)
            self.xp.copyto(self.look(dx), top[0].diff.reshape(self.parts))


class PermuteParams(Params, message="permute_param"):
    order: tuple[int, ...] = field(
        int, repeated=True, at_least=0, doc="the axes in their new order; those not named follow in their old one"
    )


class Permute(Reordered):
    """y = x with its axes in another order

    bottom[0]  x (n_0, n_1, …)
    top[0]     y (n_order[0], n_order[1], …)

    Source: the SSD fork
    """

    type, Params = "Permute", PermuteParams

    def reshape(self, bottom, top):
        order, ndim = self.params.order, bottom[0].ndim
        self.require(len(set(order)) == len(order), f"order: {list(order)} names an axis twice", field="order")
        self.require(all(i < ndim for i in order), f"order: {list(order)}, bottom[0] has {ndim} axes", field="order")
        self.order = (*order, *(i for i in range(ndim) if i not in order))
        self.parts = [bottom[0].shape[i] for i in self.order]
        top[0].reshape(self.parts)

    def look(self, x):
        return x.transpose(self.order)


class ShuffleChannelParams(Params, message="shuffle_channel_param"):
    group: int = field(int, 1, at_least=1, doc="the groups the channels are dealt from")


class ShuffleChannel(Reordered):
    """y[:, i·G + g] = x[:, g·(C/G) + i]      one channel of each group in turn

    bottom[0]  x (N, C, *)      C divisible by group = G
    top[0]     y, like x

    Source: Zhang et al., "ShuffleNet", 2017
    """

    type, Params = "ShuffleChannel", ShuffleChannelParams

    def reshape(self, bottom, top):
        shape, groups = bottom[0].shape, self.params.group
        self.require(len(shape) > 1, f"bottom[0] is {shape}, must have channels")
        self.require(
            shape[1] % groups == 0,
            f"bottom[0] has {shape[1]} channels, which group: {groups} does not divide",
            field="group",
        )
        self.groups = (shape[0], groups, shape[1] // groups, bottom[0].count(2))  # (N, G, C/G, K)
        self.parts = (shape[0], shape[1] // groups, groups, bottom[0].count(2))  # (N, C/G, G, K)
        top[0].reshape(shape)

    def look(self, x):
        return x.reshape(self.groups).swapaxes(1, 2)


class ReverseParams(Params, message="reverse_param"):
    axis: tuple[int, ...] = field(int, repeated=True, doc="the axes that run backwards; negative counts from the end")


class Reverse(Reordered):
    """y[…, i, …] = x[…, n-1-i, …]      along every `axis`

    bottom[0]  x of any shape
    top[0]     y, like x
    """

    type, Params = "Reverse", ReverseParams

    def reshape(self, bottom, top):
        ndim = bottom[0].ndim
        flipped = {self.axis(i, ndim) for i in self.params.axis}
        self.backwards = tuple(slice(None, None, -1) if i in flipped else slice(None) for i in range(ndim))
        self.parts = bottom[0].shape
        top[0].reshape(self.parts)

    def look(self, x):
        return x[self.backwards]


class ReverseSequenceParams(Params, message="reverse_sequence_param"):
    seq_axis: int = field(int, 0, at_least=0, doc="the axis that runs backwards")
    batch_axis: int = field(int, 0, at_least=0, doc="the axis of the sequences")


class ReverseSequence(Layer):
    """y[b, t] = x[b, l_b - 1 - t] for t < l_b, else x[b, t]      t along seq_axis, b along batch_axis

    bottom[0]  x of any shape
    bottom[1]  l, the length of each sequence, cut to whole numbers
    top[0]     y, like x

    Raises LayerError for a length beyond the axis.
    """

    type, Params = "ReverseSequence", ReverseSequenceParams
    bottoms, no_gradient = 2, (1,)

    def reshape(self, bottom, top):
        p, shape = self.params, bottom[0].shape
        time, batch = self.axis(p.seq_axis, len(shape), field="seq_axis"), self.axis(p.batch_axis, len(shape))
        self.require(time != batch, f"seq_axis and batch_axis are both {time}", field="seq_axis")
        self.require(
            bottom[1].count() == shape[batch], f"bottom[1] is {bottom[1].shape}, there are {shape[batch]} sequences"
        )
        rest = [i for i in range(len(shape)) if i not in (batch, time)]
        self.order, self.steps = (batch, time, *rest), shape[time]
        self.moved = [shape[i] for i in self.order]  # (B, T, *rest)
        flat = (shape[batch] * shape[time], math.prod(shape[i] for i in rest))  # (B·T, rest)
        self.source, self.target = self.scratch(flat), self.scratch(flat)
        self.lengths = self.kept((shape[batch], 1), np.int32)
        self.index, self.flags = self.scratch((shape[batch], shape[time]), np.int32), self.scratch(self.moved[:2], bool)
        self.times = self.constant(np.arange(shape[time])[None], np.int32)
        self.starts = self.constant(np.arange(shape[batch])[:, None] * shape[time], np.int32)
        top[0].reshape(shape)

    def rows(self):
        """Which row of x, seen as (B·T, rest), each row of y is."""
        xp, index, lengths, times = self.xp, self.index.data, self.lengths.data, self.times.data
        xp.subtract(lengths, times, out=index)
        xp.subtract(index, 1, out=index)
        xp.copyto(index, times, where=xp.less(index, 0, out=self.flags.data))
        return xp.add(index, self.starts.data, out=index).reshape(-1)

    def reverse(self, x, y):
        """Forward and backward are one: reversing twice gives x."""
        source, target = self.source.data, self.target.data
        self.xp.copyto(source.reshape(self.moved), x.transpose(self.order))
        self.ops.take_rows(source, self.rows(), out=target)
        self.xp.copyto(y.transpose(self.order), target.reshape(self.moved))

    def forward(self, bottom, top):
        lengths = bottom[1].data.reshape(-1, 1)
        bad = self.ops.to_index(lengths, self.steps + 1, out=self.lengths.data)
        if bad is not None:
            self.require(False, f"sequence {bad} has the length {float(lengths[bad, 0]):g}, the axis {self.steps}")
        self.reverse(bottom[0].data, top[0].data)

    def backward(self, top, propagate_down, bottom):
        self.require(not propagate_down[1], "bottom[1] holds lengths and cannot get a gradient")
        if propagate_down[0]:
            self.reverse(top[0].diff, bottom[0].diff)


FORMATS = ("NHWC", "NCHW", "DCR", "CRD")


class DepthToSpaceParams(Params, message="depth_to_space_param"):
    block_size: int = field(int, required=True, at_least=1, doc="the side of the squares the channels become")
    data_format: str = field(
        str, "NHWC", choices=FORMATS, doc="where the channels are; DCR (= NCHW) and CRD are ONNX's orders within them"
    )


class DepthToSpace(Reordered):
    """y[n, c, h·B + i, w·B + j] = x[n, (i·B + j)·C + c, h, w]      CRD: x[n, (c·B + i)·B + j, h, w]

    bottom[0]  x (N, C·B², H, W), NHWC: (N, H, W, C·B²)
    top[0]     y (N, C, H·B, W·B), NHWC: (N, H·B, W·B, C)
    """

    type, Params = "DepthToSpace", DepthToSpaceParams

    def reshape(self, bottom, top):
        p, shape, b = self.params, bottom[0].shape, self.params.block_size
        self.require(len(shape) == 4, f"bottom[0] is {shape}, must have 4 axes")
        n, deep, h, w = shape if p.data_format != "NHWC" else (shape[0], shape[3], *shape[1:3])
        self.require(deep % (b * b) == 0, f"{deep} channels, which {b * b} does not divide", field="block_size")
        c = deep // (b * b)
        if p.data_format == "NHWC":
            self.blocks, self.order, shape = (n, h, w, b, b, c), (0, 1, 3, 2, 4, 5), (n, h * b, w * b, c)
        elif p.data_format == "CRD":
            self.blocks, self.order, shape = (n, c, b, b, h, w), (0, 1, 4, 2, 5, 3), (n, c, h * b, w * b)
        else:
            self.blocks, self.order, shape = (n, b, b, c, h, w), (0, 3, 4, 1, 5, 2), (n, c, h * b, w * b)
        self.parts = [self.blocks[i] for i in self.order]
        top[0].reshape(shape)

    def look(self, x):
        return x.reshape(self.blocks).transpose(self.order)


class SpaceToDepthParams(Params, message="space_to_depth_param"):
    block_size: int = field(int, required=True, at_least=1, doc="the side of the squares that become channels")
    data_format: str = field(str, "NHWC", choices=("NHWC", "NCHW"), doc="where the channels are")


class SpaceToDepth(Reordered):
    """y[n, (i·B + j)·C + c, h, w] = x[n, c, h·B + i, w·B + j]

    bottom[0]  x (N, C, H·B, W·B), NHWC: (N, H·B, W·B, C)
    top[0]     y (N, C·B², H, W), NHWC: (N, H, W, C·B²)
    """

    type, Params = "SpaceToDepth", SpaceToDepthParams

    def reshape(self, bottom, top):
        p, shape, b = self.params, bottom[0].shape, self.params.block_size
        self.require(len(shape) == 4, f"bottom[0] is {shape}, must have 4 axes")
        n, c, h, w = shape if p.data_format == "NCHW" else (shape[0], shape[3], *shape[1:3])
        self.require(h % b == 0 and w % b == 0, f"{h}×{w} pixels, which {b} does not divide", field="block_size")
        h, w = h // b, w // b
        if p.data_format == "NHWC":
            self.blocks, self.order, shape = (n, h, b, w, b, c), (0, 1, 3, 2, 4, 5), (n, h, w, b * b * c)
        else:
            self.blocks, self.order, shape = (n, c, h, b, w, b), (0, 3, 5, 1, 2, 4), (n, b * b * c, h, w)
        self.parts = [self.blocks[i] for i in self.order]
        top[0].reshape(shape)

    def look(self, x):
        return x.reshape(self.blocks).transpose(self.order)
