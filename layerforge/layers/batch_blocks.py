"""Layers between space and batch: SpaceToBatchND, BatchToSpaceND."""

from __future__ import annotations

import math

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class BatchBlocks(Layer):
    """Base of both: `space` is the array with whole pictures, padding included, whose blocks lie apart in the batch.

    space   (N, S_1, …, S_D, *inner) with S_i = b_i · s_i
    batch   (b_1 · … · b_D · N, s_1, …, s_D, *inner)
    """

    def plan(self, n, sizes, inner, margins):
        """Shapes for N pictures of `sizes` blocks; `margins` (before, behind) are cut off the space."""
        blocks = self.params.block_shape
        self.parts = (n, *(size for pair in zip(sizes, blocks) for size in pair), inner)  # (N, s_1, b_1, …, inner)
        d = len(blocks)
        self.order = (*range(2, 2 * d + 1, 2), 0, *range(1, 2 * d + 1, 2), 2 * d + 1)  # (b_1, …, N, s_1, …, inner)
        self.apart = [self.parts[i] for i in self.order]
        whole = [s * b for s, b in zip(sizes, blocks)]
        self.space = self.scratch((n, *whole, inner))
        self.inside = (slice(None), *(slice(a, w - b) for w, (a, b) in zip(whole, margins)))
        return [w - a - b for w, (a, b) in zip(whole, margins)]

    def margins(self, values, name):
        """(before, behind) of each axis of the blocks."""
        self.require(
            len(values) == 2 * len(self.params.block_shape),
            f"{name} has {len(values)} values, must have two for each of {len(self.params.block_shape)} axes",
            field=name,
        )
        return list(zip(values[::2], values[1::2]))

    def check(self, bottom):
        """The number of axes that are cut into blocks."""
        d = len(self.params.block_shape)
        self.require(
            0 < d < bottom[0].ndim, f"block_shape has {d} values, bottom[0] is {bottom[0].shape}", field="block_shape"
        )
        return d

    def to_batch(self, x, y):
        """y (batch) from x (space without margins), zeros in the margins."""
        space = self.space.data
        space.fill(0)
        self.xp.copyto(space[self.inside], x.reshape(space[self.inside].shape))
        self.xp.copyto(y.reshape(self.apart), space.reshape(self.parts).transpose(self.order))

    def to_space(self, x, y):
        """y (space without margins) from x (batch)."""
        space = self.space.data
        self.xp.copyto(space.reshape(self.parts).transpose(self.order), x.reshape(self.apart))
        self.xp.copyto(y.reshape(space[self.inside].shape), space[self.inside])


class SpaceToBatchNDParams(Params, message="space_to_batch_nd_param"):
    block_shape: tuple[int, ...] = field(int, repeated=True, at_least=1, doc="the sides of the blocks, from axis 1 on")
    paddings: tuple[int, ...] = field(
        int, repeated=True, at_least=0, doc="zeros before and behind axis 1, axis 2, …, before it is cut"
    )


class SpaceToBatchND(BatchBlocks):
    """y[(i_1 · b_2 + i_2) · N + n, h, w, …] = x̂[n, h · b_1 + i_1, w · b_2 + i_2, …]      x̂ is x between zeros

    bottom[0]  x (N, n_1, n_2, …)
    top[0]     y (N · b_1 · b_2, (n_1 + paddings) / b_1, …)
    """

    type, Params = "SpaceToBatchND", SpaceToBatchNDParams

    def reshape(self, bottom, top):
        p, shape, d = self.params, bottom[0].shape, self.check(bottom)
        margins = self.margins(p.paddings, "paddings")
        padded = [n + a + b for n, (a, b) in zip(shape[1:], margins)]
        fits = all(n % b == 0 for n, b in zip(padded, p.block_shape))
        self.require(fits, f"{padded} places, which the blocks {p.block_shape} do not divide", field="block_shape")
        sizes = [n // b for n, b in zip(padded, p.block_shape)]
        self.plan(shape[0], sizes, bottom[0].count(d + 1), margins)
        top[0].reshape(shape[0] * math.prod(p.block_shape), *sizes, *shape[d + 1 :])

    def forward(self, bottom, top):
        self.to_batch(bottom[0].data, top[0].data)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.to_space(top[0].diff, bottom[0].diff)


class BatchToSpaceNDParams(Params, message="batch_to_space_nd_param"):
    block_shape: tuple[int, ...] = field(int, repeated=True, at_least=1, doc="the sides of the blocks, from axis 1 on")
    crops: tuple[int, ...] = field(
        int,
        repeated=True,
        at_least=0,
        doc="what is cut off before and behind axis 1, axis 2, …; more values have no effect",
    )


class BatchToSpaceND(BatchBlocks):
    """y = x put together again: the reverse of SpaceToBatchND, then cut

    bottom[0]  x (N · b_1 · b_2, s_1, s_2, …)
    top[0]     y (N, s_1 · b_1 - crops, s_2 · b_2 - crops, …)
    """

    type, Params = "BatchToSpaceND", BatchToSpaceNDParams

    def reshape(self, bottom, top):
        p, shape, d = self.params, bottom[0].shape, self.check(bottom)
        margins = self.margins(p.crops[: 2 * d], "crops")
        blocks = math.prod(p.block_shape)
        self.require(shape[0] % blocks == 0, f"bottom[0] has {shape[0]} items, which {blocks} blocks do not divide")
        fits = all(s * b > c + e for s, b, (c, e) in zip(shape[1:], p.block_shape, margins))
        self.require(fits, f"crops: {list(p.crops)} leave nothing of {shape}", field="crops")
        left = self.plan(shape[0] // blocks, shape[1 : d + 1], bottom[0].count(d + 1), margins)
        top[0].reshape(shape[0] // blocks, *left, *shape[d + 1 :])

    def forward(self, bottom, top):
        self.to_space(bottom[0].data, top[0].data)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.to_batch(top[0].diff, bottom[0].diff)
