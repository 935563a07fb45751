"""Sums over a batch, per channel, as accurate as in double precision: statistics, and what BatchNorm's gradient needs.

oneDNN adds up a whole channel in one float32 accumulator, which costs digits on large maps. Here its kernels see the
batch in small pieces, each a channel of its own; what they give is joined in float64:

    μ = mean of μ_k        σ² = mean of σ²_k + mean of (μ_k - μ)²      (pieces of one size)
"""

from __future__ import annotations

import math

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.use import Access, Use
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.layout import Layout, aligned_zeros
from layerforge.engines.onednn.primitive import Context, Descriptor, Fixed, Primitive

PIECE = 128  # values of one channel that are added up in float32
CACHED = 1 << 20  # bytes of the batch that one call goes over


class Pieces:
    """How the memory of a layout is cut: blocked and plain ones into samples and rows, others into samples.

    view      one call's memory, with its pieces as channels
    calls     how many calls go over the batch;  values  of the array in each
    """

    def __init__(self, context: Context, layout: Layout) -> None:
        samples, channels, *sizes = layout.shape
        block = layout.channel_block
        self.channels, self.block = channels, block
        self.rows = _divisor(sizes[0], sizes) if block and len(sizes) > 1 else 1
        self.padded = -(-channels // block) * block if block else channels
        self.at_once = max(1, min(samples, CACHED * samples // max(layout.nbytes, 1))) if block else 1
        while samples % self.at_once:
            self.at_once -= 1
        self.calls = samples // self.at_once
        self.values = layout.nbytes // layout.dtype.itemsize // self.calls
        inner = (sizes[0] // self.rows, *sizes[1:]) if block and sizes else tuple(sizes)
        self.count = self.at_once * self.padded * self.rows if block else channels
        self.view = context.layouts.like(layout, (1, self.count, *inner))

    def part(self, array: np.ndarray, call: int) -> np.ndarray:
        """What this call goes over."""
        return array[call * self.values : (call + 1) * self.values]

    def join(self, values: np.ndarray) -> np.ndarray:
        """(calls, pieces) → (pieces of a channel, C)"""
        if not self.block:
            return values[:, : self.channels]
        groups = values.reshape(
            -1, self.padded // self.block, self.rows, self.block
        )  # (samples, C / block, rows, block)
        return groups.transpose(0, 2, 1, 3).reshape(-1, self.padded)[:, : self.channels]

    def spread(self, values: np.ndarray, rest: float, out: np.ndarray) -> None:
        """(C,) → a number for each piece of a call; `rest` for the padding."""
        if not self.block:
            out[: self.channels] = values
            return
        whole = np.full(self.padded, rest, np.float32)
        whole[: self.channels] = values
        parts = out.reshape(self.at_once, self.padded // self.block, self.rows, self.block)
        parts[...] = whole.reshape(1, -1, 1, self.block)


class Sums:
    """Two numbers for each piece of every call, in float64: room that all normalisations share."""

    def __init__(self, context: Context, pieces: Pieces) -> None:
        self.shape, self.room = (2, pieces.calls, pieces.count), context.sums
        self.nbytes = 16 * pieces.calls * pieces.count
        self.room.need(self.nbytes)

    def array(self) -> np.ndarray:
        return self.room.array()[: self.nbytes].view(np.float64).reshape(self.shape)


class Moments:
    """Writes the mean and the variance (divided by the number of values) of blob's data into float32 arrays (C,)."""

    def __init__(
        self, context: Context, blob: Blob, layout: Layout, pieces: Pieces, mean: np.ndarray, variance: np.ndarray
    ) -> None:
        self.blob, self.layout, self.pieces, self.mean, self.variance = blob, layout, pieces, mean, variance
        view = pieces.view
        desc = Descriptor(context, "batch_normalization_forward", n.TRAINING, view.desc, view.desc, 0.0, 0).fast()
        small = desc.layout(n.MEAN)
        self._from = Fixed(n.SRC, view, _EMPTY)
        context.spill.need(view.nbytes)
        self._means, self._variances = (
            Fixed(index, small, aligned_zeros(small.nbytes)) for index in (n.MEAN, n.VARIANCE)
        )
        self._primitive = Primitive(desc, [self._from, Spill(n.DST, view, context), self._means, self._variances])
        self._sums = Sums(context, pieces)
        self.exact = np.zeros(pieces.channels)  # the mean in float64

    def run(self) -> None:
        source, found = self.blob.data.array(self.layout.representation), self._sums.array()
        for call in range(self.pieces.calls):
            self._from.array = self.pieces.part(source, call)
            self._primitive.run()
            found[0, call] = self._means.array[: self.pieces.count]
            found[1, call] = self._variances.array[: self.pieces.count]
        means, variances = (self.pieces.join(values) for values in found)
        self.exact = mean = means.mean(0)
        self.mean[...] = mean
        self.variance[...] = variances.mean(0) + np.square(means - mean).mean(0)

    def primitives(self) -> list[Primitive]:
        return [self._primitive]

    def uses(self) -> list[Use]:
        return [Use(self.blob.data, self.layout.representation, Access.READ)]


class GradientSums:
    """dx ← γ / √(σ² + eps) · dy', and in float64 the sums over each channel of dy' · x̂ and dy', where dy' is dy behind
    the ReLU.

    scale, shift   the sums, (C,)
    """

    def __init__(
        self,
        context: Context,
        pieces: Pieces,
        layout: Layout,
        eps: float,
        x: Blob,
        dy: Blob,
        dx: Blob,
        workspace: Fixed | None,
    ) -> None:
        self.pieces, self.layout, self.x, self.dy, self.dx, self.workspace = pieces, layout, x, dy, dx, workspace
        view = pieces.view.desc
        flags = n.GLOBAL_STATISTICS | n.USE_SCALE | n.USE_SHIFT | (n.FUSE_RELU if workspace else 0)
        hint = Descriptor(context, "batch_normalization_forward", n.TRAINING, view, view, eps, flags)
        desc = Descriptor(
            context, "batch_normalization_backward", n.BACKWARD, view, view, view, eps, flags, hint.handle
        ).fast()
        small = desc.layout(n.MEAN)
        self._parts = [Fixed(index, pieces.view, _EMPTY) for index in (n.SRC, n.DIFF_DST, n.DIFF_SRC)]
        self.mean, self.variance, self.gamma, self._scale, self._shift = (
            Fixed(index, small, aligned_zeros(small.nbytes))
            for index in (n.MEAN, n.VARIANCE, n.SCALE, n.DIFF_SCALE, n.DIFF_SHIFT)
        )
        arguments = [*self._parts, self.mean, self.variance, self.gamma, self._scale, self._shift]
        self._signs = Fixed(n.WORKSPACE, desc.layout(n.WORKSPACE), _EMPTY) if workspace else None
        self._primitive = Primitive(desc, [*arguments, self._signs] if self._signs else arguments)
        self._sums = Sums(context, pieces)
        self.scale = self.shift = np.zeros(0)

    def run(self) -> None:
        arrays = [blob.diff.array(self.layout.representation) for blob in (self.dy,)]
        arrays = [self.x.data.array(self.layout.representation), *arrays]
        arrays.append(self.dx.diff.claim(self.layout.representation))
        pieces, found = self.pieces, self._sums.array()
        for call in range(pieces.calls):
            for part, array in zip(self._parts, arrays):
                part.array = pieces.part(array, call)
            if self._signs and self.workspace:
                size = self.workspace.array.size // pieces.calls
                self._signs.array = self.workspace.array[call * size : (call + 1) * size]
            self._primitive.run()
            found[0, call] = self._scale.array[: pieces.count]
            found[1, call] = self._shift.array[: pieces.count]
        self.scale, self.shift = (pieces.join(values).sum(0) for values in found)

    def primitives(self) -> list[Primitive]:
        return [self._primitive]

    def uses(self) -> list[Use]:
        """dx may be dy."""
        representation = self.layout.representation
        return [
            Use(self.x.data, representation, Access.READ),
            Use(self.dy.diff, representation, Access.READ),
            Use(self.dx.diff, representation, Access.WRITE),
        ]


class Spill(Fixed):
    """Where values go that nobody reads: a block that all such share."""

    __slots__ = ("context",)

    def __init__(self, index: int, layout: Layout, context: Context) -> None:
        super().__init__(index, layout, _EMPTY)
        self.context = context

    def bind(self) -> None:
        self.array = self.context.spill.array()
        super().bind()


_EMPTY = np.empty(0, np.float32)


def _divisor(height: int, sizes: list[int]) -> int:
    """Into how many equal pieces the rows are cut, so that one has at most PIECE values where that can be."""
    values = math.prod(sizes)
    return next((k for k in range(1, height + 1) if height % k == 0 and values // k <= PIECE), height)
