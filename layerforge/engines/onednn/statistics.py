"""Means and variances of a batch, per channel, as accurate as sums in double precision.

oneDNN adds up a whole channel in one float32 accumulator, which costs digits on large maps. Here its kernel sees the
batch in small pieces, each a channel of its own; their means and variances (two passes over cached memory) are joined
in float64:

    μ = mean of μ_k        σ² = mean of σ²_k + mean of (μ_k - μ)²      (pieces of one size)
"""

from __future__ import annotations

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.use import Access, Use
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.layout import Layout, aligned_zeros
from layerforge.engines.onednn.primitive import Context, Descriptor, Fixed, Primitive

PIECE = 1024  # values of one channel that are added up in float32
CACHED = 1 << 20  # bytes of the batch that one call goes over


class Moments:
    """Writes the mean and the variance (divided by the number of values) of blob's data into float32 arrays (C,).

    Blocked and plain layouts are cut into samples and rows; others into samples.
    """

    def __init__(self, context: Context, blob: Blob, layout: Layout, mean: np.ndarray, variance: np.ndarray) -> None:
        self.blob, self.layout, self.mean, self.variance = blob, layout, mean, variance
        samples, self.channels, *sizes = layout.shape
        block = layout.channel_block
        self.rows = _divisor(sizes[0], sizes) if block and len(sizes) > 1 else 1
        self.samples = samples
        padded = -(-self.channels // block) * block if block else self.channels
        self.at_once = max(1, min(samples, CACHED * samples // max(layout.nbytes, 1))) if block else 1
        while samples % self.at_once:
            self.at_once -= 1
        pieces = self.at_once * padded * self.rows
        self.block, self.padded = block, padded
        self.bytes_each = layout.nbytes // samples
        if block:
            inner = (sizes[0] // self.rows, *sizes[1:]) if sizes else ()
            view = context.layouts.like(layout, (1, pieces, *inner))
        else:
            view = context.layouts.like(layout, (1, self.channels, *sizes))
        desc = Descriptor(context, "batch_normalization_forward", n.TRAINING, view.desc, view.desc, 0.0, 0).fast()
        small = desc.layout(n.MEAN)
        self._means = aligned_zeros(small.nbytes)
        self._variances = aligned_zeros(small.nbytes)
        self._from = Window(n.SRC, view, np.empty(0, np.float32))
        context.spill.need(view.nbytes)
        self._primitive = Primitive(
            desc,
            [
                self._from,
                Spill(n.DST, view, context),
                Fixed(n.MEAN, small, self._means),
                Fixed(n.VARIANCE, small, self._variances),
            ],
        )
        self.calls = samples // self.at_once
        self._all = np.zeros((2, self.calls, self._means.size))

    def run(self) -> None:
        source = self.blob.data.array(self.layout.representation)
        each = self.bytes_each * self.at_once // 4
        for call in range(self.calls):
            self._from.array = source[call * each : (call + 1) * each]
            self._primitive.run()
            self._all[0, call], self._all[1, call] = self._means, self._variances
        if self.block:  # (2, samples, C / block, rows, block)
            parts = self._all.reshape(2, self.samples, self.padded // self.block, self.rows, self.block)
            parts = parts.transpose(0, 1, 3, 2, 4).reshape(2, -1, self.padded)[:, :, : self.channels]
        else:
            parts = self._all
        mean = parts[0].mean(0)
        variance = parts[1].mean(0) + np.square(parts[0] - mean).mean(0)
        self.mean[...], self.variance[...] = mean, variance

    def uses(self) -> list[Use]:
        return [Use(self.blob.data, self.layout.representation, Access.READ)]


class Window(Fixed):
    """An array that differs from call to call."""

    __slots__ = ()


class Spill(Fixed):
    """Where values go that nobody reads: the scratch block."""

    __slots__ = ("context",)

    def __init__(self, index: int, layout: Layout, context: Context) -> None:
        super().__init__(index, layout, np.empty(0, np.float32))
        self.context = context

    def bind(self) -> None:
        self.array = self.context.spill.array()
        super().bind()


def _divisor(height: int, sizes: list[int]) -> int:
    """Into how many equal pieces the rows are cut, so that one has at most PIECE values where that can be."""
    values = int(np.prod(sizes))
    return next((k for k in range(1, height + 1) if height % k == 0 and values // k <= PIECE), height)
