"""BatchNorm, Scale and the ReLU behind them as sweeps over blocked values, two each way.

    forward    Σ x, Σ x²; then y = relu((x - μ) · γ / √(σ² + eps) + β), perhaps with another value added before the ReLU
    backward   Σ dy', Σ dy' · x, where dy' is dy behind the ReLU; then dx

All sums are taken in float64, and what follows from them alone is computed in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.storage import HOST
from layerforge.core.use import Access, Use
from layerforge.engines.onednn.layout import Layout, aligned_zeros
from layerforge.engines.onednn.primitive import Context
from layerforge.engines.onednn.sweep import Operand, Sweep
from layerforge.engines.step import elements

CENTER, FACTOR, OFFSET, SLOPE, TILT, LEVEL = range(6)


class Normalisation:
    """y = relu?((x - center) · factor + offset + other?)

    norm     the layers
    inverse  1 / √(σ² + eps);  mean  μ, both of the last run and in float64
    table    what the loops read per channel: float32 (6, padded channels), the padding 0
    """

    def __init__(
        self, context: Context, norm: Any, data: Blob, layout: Layout, top: Blob, other: Blob | None = None
    ) -> None:
        self.norm, self.data, self.layout = norm, data, layout
        self.total = elements(layout.shape) // norm.channels
        block = layout.channel_block
        padded = -(-norm.channels // block) * block
        self.table = aligned_zeros(6 * padded * 4).reshape(6, padded)
        self.mean = self.inverse = np.zeros(norm.channels)
        x = Operand(data, "data")
        self._moments = Sweep(context, "moments", (), layout, [x], sums=2) if norm.batch else None
        operands = [x, *([Operand(other, "data")] if other else []), Operand(top, "data", Access.WRITE)]
        options = norm.relu, other is not None
        self._normalise = Sweep(context, "normalise", options, layout, operands, self.table[:3])
        self._seen: Any = None

    def run(self) -> None:
        norm = self.norm
        if self._moments is not None:
            self._moments.run()
            mean, square = self._moments.sums()[:, : norm.channels] / self.total
            variance = np.maximum(square - mean * mean, 0)
            norm.keep(mean, variance, self.total)
        else:
            now = norm.versions()
            if now == self._seen:
                self._normalise.run()
                return
            self._seen = now
            mean, variance = norm.statistics()
        self.mean, self.inverse = mean, 1 / np.sqrt(variance + norm.eps)
        self._fill()
        self._normalise.run()

    def _fill(self) -> None:
        norm, table = self.norm, self.table[:, : self.norm.channels]
        table[CENTER] = self.mean
        table[FACTOR] = self.inverse * norm.gamma.data.array(HOST) if norm.gamma else self.inverse
        offset = (table[CENTER] - self.mean) * table[FACTOR]  # what rounding the mean has cost
        table[OFFSET] = norm.beta.data.array(HOST) + offset if norm.beta else offset

    def primitives(self) -> list[Any]:
        return [*([self._moments] if self._moments else []), self._normalise]

    def uses(self) -> Sequence[Use]:
        return [use for each in self.primitives() for use in each.uses()]


class NormalisationGradient:
    """dx = γ · inverse · (dy' - Σ dy' / M - x̂ · Σ(dy' · x̂) / M), with kept statistics the first term alone; dγ, dβ.

    forward   what ran forward
    tops      dy is the sum of their gradients
    signs     dy' is dy where this blob is positive; None: where the normalised value is
    behind    receives dy', where it is wanted beside dx
    """

    def __init__(
        self,
        context: Context,
        forward: Normalisation,
        tops: Sequence[Blob],
        target: Blob | None,
        signs: Blob | None = None,
        behind: Blob | None = None,
    ) -> None:
        self.norm, self.forward = forward.norm, forward
        layout, table, relu = forward.layout, forward.table, self.norm.relu
        x, dys = Operand(forward.data, "data"), [Operand(top, "diff") for top in tops]
        if behind is None:
            self._sums = Sweep(context, "gradient_sums", (relu,), layout, [x, *dys], table[:3], 2)
        else:
            operands = [x, *dys, *([Operand(signs, "data")] if signs else []), Operand(behind, "diff", Access.WRITE)]
            self._sums = Sweep(
                context, "gathered_sums", (len(tops), signs is not None), layout, operands, sums=2
            )
            dys, relu = [Operand(behind, "diff")], False
        self._gradient = None
        if target is not None:
            operands = [x, *dys, Operand(target, "diff", Access.WRITE)]
            self._gradient = Sweep(context, "gradient", (relu,), layout, operands, table)

    def run(self) -> None:
        norm, forward = self.norm, self.forward
        self._sums.run()
        shift, scale = self._sums.sums()[:, : norm.channels]
        mean, inverse = forward.mean, forward.inverse
        scale = (scale - mean * shift) * inverse
        for blob, wanted, values in zip((norm.gamma, norm.beta), norm.wanted, (scale, shift)):
            if blob and wanted:
                total = blob.diff.array(HOST)
                np.add(total, values, out=total, casting="same_kind")
                blob.diff.wrote(HOST)
        if self._gradient is None:
            return
        table = forward.table[:, : norm.channels]
        slope = inverse * norm.gamma.data.array(HOST) if norm.gamma else inverse
        table[SLOPE] = slope
        if norm.batch:
            part = slope / -forward.total
            tilt = part * inverse * scale
            table[TILT] = tilt
            table[LEVEL] = part * shift + tilt * (table[CENTER] - mean)
        self._gradient.run()

    def primitives(self) -> list[Any]:
        return [self._sums, *([self._gradient] if self._gradient else [])]

    def uses(self) -> Sequence[Use]:
        return [use for each in self.primitives() for use in each.uses()]
