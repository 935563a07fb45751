"""BatchNorm, Scale and the ReLU behind them by compiled loops over blocked values.

Sums are taken in float64, and what follows from them alone is computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.storage import HOST
from layerforge.core.threads import count
from layerforge.core.use import Access, Use
from layerforge.engines.onednn.layout import Layout, aligned_zeros
from layerforge.engines.onednn.sweep import Operand, Sweep
from layerforge.engines.step import Bound, elements

CENTER, FACTOR, OFFSET, GAMMA, BETA, SINGLES = 0, 1, 2, 3, 4, 8  # float32 numbers per channel, as norm_loops has them
MEAN, VARIANCE, INVERSE, SCALE, SHIFT, DOUBLES = 0, 1, 2, 3, 4, 5  # float64 ones
CACHED = 1 << 19  # bytes of one array that the threads go over before they come back to it
BUSY = 4  # pieces for a thread, so that all end together


class _Numbers:
    """What loops read and leave per channel, the padding 0; and how they cut an array of the layout."""

    def __init__(self, layout: Layout, channels: int) -> None:
        width = layout.channel_block
        self.samples, self.inner = layout.shape[0], math.prod(layout.shape[2:])
        self.blocks, self.layout, self.channels = -(-channels // width), layout, channels
        padded = self.blocks * width
        self.singles = aligned_zeros(SINGLES * padded * 4).reshape(SINGLES, padded)
        self.doubles = aligned_zeros(DOUBLES * padded * 8, np.float64).reshape(DOUBLES, padded)
        self.total = elements(layout.shape) // channels
        self.group = max(1, min(self.blocks, CACHED * self.blocks // layout.nbytes))
        rows, threads = self.samples * self.group, count()
        even = rows % threads == 0 or rows >= BUSY * threads
        self.pieces = 1 if even else min(self.inner, -(-BUSY * threads // rows))
        self.sums = aligned_zeros(2 * self.blocks * self.samples * self.pieces * width * 8, np.float64).reshape(2, -1)

    def before(self, total: float, eps: float) -> list[int]:
        """The loop's slots before the arrays."""
        numbers = np.array([total, eps]).view(np.int64)
        return [self.samples, self.blocks, self.inner, self.pieces, self.group, *map(int, numbers)]

    @property
    def behind(self) -> list[np.ndarray]:
        """The arrays of the slots behind."""
        return [*self.singles, *self.doubles, *self.sums]


class Normalisation:
    """y = relu((x - μ) · γ / √(σ² + eps) + β + other), relu and other where they are."""

    def __init__(
        self, norm: Any, data: Blob, layout: Layout, top: Blob, other: Blob | None = None
    ) -> None:
        self.norm, self.data = norm, data
        self.numbers = numbers = _Numbers(layout, norm.channels)
        numbers.singles[GAMMA, : norm.channels] = 1
        operands = [Operand(data, "data"), Operand(top, "data", Access.WRITE)]
        options = norm.relu, other is not None
        if norm.batch:
            operands += [Operand(other, "data")] if other else []
            before = numbers.before(numbers.total, norm.eps)
            self.sweep = Sweep("norm_forward", options, layout, before, operands, numbers.behind)
        else:
            operands[1:1] = [Operand(other, "data")] if other else []
            cut = [numbers.samples * numbers.blocks, numbers.blocks, numbers.inner, numbers.pieces]
            self.sweep = Sweep("normalise", options, layout, cut, operands, numbers.singles[:3])
        self._seen: Any = None

    def run(self) -> None:
        norm, numbers = self.norm, self.numbers
        channels = norm.channels
        for row, blob in ((GAMMA, norm.gamma), (BETA, norm.beta)):
            if blob is not None:
                numbers.singles[row, :channels] = blob.data.array(HOST)
        if norm.batch:
            self.sweep.run()
            norm.keep(*numbers.doubles[MEAN : VARIANCE + 1, :channels], numbers.total)
            return
        now = norm.versions()
        if now != self._seen:
            self._seen = now
            self._settle(*norm.statistics())
        self.sweep.run()

    def bound(self) -> Bound | None:
        return None if self.norm.batch else self.sweep.bound()

    def _settle(self, mean: np.ndarray, variance: np.ndarray) -> None:
        """What the loop itself does where statistics are the batch's."""
        singles, doubles = (each[:, : self.norm.channels] for each in (self.numbers.singles, self.numbers.doubles))
        doubles[MEAN], doubles[INVERSE] = mean, 1 / np.sqrt(variance + self.norm.eps)
        singles[CENTER], singles[FACTOR] = mean, doubles[INVERSE] * singles[GAMMA]
        singles[OFFSET] = singles[BETA] + (singles[CENTER] - mean) * singles[FACTOR]

    def primitives(self) -> list[Any]:
        return [self.sweep]

    def uses(self) -> Sequence[Use]:
        return self.sweep.uses()


class NormalisationGradient:
    """dx = γ · inverse · (dy' - Σ dy' / M - x̂ · Σ(dy' · x̂) / M), with kept statistics the first term alone; dγ, dβ.

    forward   what ran forward
    tops      dy is the sum of their gradients
    target    receives dx, where it is wanted
    signs     dy' is dy where this blob is positive; None: where the normalised value is
    behind    receives dy', where it is wanted beside dx
    """

    def __init__(
        self,
        forward: Normalisation,
        tops: Sequence[Blob],
        target: Blob | None,
        signs: Blob | None = None,
        behind: Blob | None = None,
    ) -> None:
        self.norm, self.numbers = forward.norm, forward.numbers
        numbers = forward.numbers
        operands = [Operand(forward.data, "data")]
        operands.append(Operand(target, "diff", Access.WRITE) if target else operands[0])
        operands += [Operand(top, "diff") for top in tops]
        operands += [Operand(signs, "data")] if signs else []
        operands += [Operand(behind, "diff", Access.WRITE)] if behind else []
        options = len(tops), self.norm.relu, signs is not None, behind is not None, target is not None
        before = numbers.before(numbers.total if self.norm.batch else math.inf, self.norm.eps)
        self.sweep = Sweep("norm_backward", options, numbers.layout, before, operands, numbers.behind)

    def run(self) -> None:
        norm = self.norm
        self.sweep.run()
        found = self.numbers.doubles[:, : norm.channels]
        for blob, wanted, values in zip((norm.gamma, norm.beta), norm.wanted, (found[SCALE], found[SHIFT])):
            if blob and wanted:
                total = blob.diff.array(HOST)
                np.add(total, values, out=total, casting="same_kind")
                blob.diff.wrote(HOST)

    def primitives(self) -> list[Any]:
        return [self.sweep]

    def uses(self) -> Sequence[Use]:
        return self.sweep.uses()
