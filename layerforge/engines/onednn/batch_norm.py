"""BatchNorm and Scale, each alone or one behind the other, with the ReLU behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.storage import HOST
from layerforge.core.use import Access, Use
from layerforge.engines.normalization import NormLayers
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.layout import F32, Layout, aligned_zeros
from layerforge.engines.onednn.primitive import (
    Argument,
    Context,
    Descriptor,
    Fixed,
    Primitive,
    Read,
    Write,
)
from layerforge.engines.onednn.statistics import GradientSums, Moments, Pieces
from layerforge.engines.onednn.step import relu
from layerforge.engines.onednn.sweep import sweeps
from layerforge.engines.onednn.swept_norm import Normalisation, NormalisationGradient
from layerforge.engines.onednn.weighted import relu_backward
from layerforge.engines.step import Bound, Refused, Runs, Work, elements, nothing

SMALL = 2.0**-10  # the eps of a Scale alone: with 1 - eps it adds up to 1 without rounding


class Norm(NormLayers):
    """The layers of one normalisation, with their numbers."""

    def __init__(self, steps: Sequence[Any]) -> None:
        super().__init__(steps)
        if self.norm and not self.norm.params.eps:
            raise Refused("eps: 0 divides the padding of blocked channels by 0")
        self.eps = self.norm.params.eps if self.norm else SMALL

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """μ and σ² from the kept sums, in float64; (0, 1 - eps) for a Scale alone."""
        if self.norm is None:
            return np.zeros(self.channels), np.full(self.channels, 1.0 - SMALL)
        mean, variance, weight = (view.blob.data.array(HOST).astype(np.float64) for view in self.norm.sums)
        factor = 0.0 if weight[0] == 0 else 1.0 / weight[0]
        return mean * factor, variance * factor

    def keep(self, mean: np.ndarray, variance: np.ndarray, total: int) -> None:
        """Adds the batch's statistics of `total` values a channel to the kept sums, as Caffe does."""
        assert self.norm is not None
        fraction = np.float32(self.norm.params.moving_average_fraction)
        correction = np.float32(total / (total - 1) if total > 1 else 1.0)
        for view, new in zip(self.norm.sums, (mean, variance * correction, np.float32(1))):
            storage = view.blob.data
            kept = storage.array(HOST)
            kept *= fraction
            np.add(kept, new, out=kept, casting="same_kind")
            storage.wrote(HOST)

    def versions(self) -> tuple[Any, ...]:
        """Changes whenever anything does that the folded factors depend on."""
        blobs = [view.blob for view in self.norm.sums] if self.norm else []
        return tuple(
            (id(blob.data), blob.data.version) for blob in (*blobs, *(b for b in (self.gamma, self.beta) if b))
        )

    def folded(self) -> tuple[np.ndarray, np.ndarray]:
        """y = factor · x + offset, in float64."""
        mean, variance = self.statistics()
        factor = 1.0 / np.sqrt(variance + self.eps)
        if self.gamma:
            factor = factor * self.gamma.data.array(HOST)
        offset = -mean * factor
        if self.beta:
            offset = offset + self.beta.data.array(HOST)
        return factor, offset


class _Kept:
    """Brings μ and σ² from the kept sums, when those have changed."""

    def __init__(self, norm: Norm, mean: np.ndarray, variance: np.ndarray) -> None:
        self.norm, self.mean, self.variance = norm, mean, variance
        self.seen: Any = None

    def run(self) -> None:
        now = self.norm.versions()
        if now != self.seen:
            self.mean[...], self.variance[...] = self.norm.statistics()
            self.seen = now

    def bound(self) -> Bound:
        return nothing

    def uses(self) -> Sequence[Use]:
        return ()


class _Sums:
    """Adds the batch's statistics to the kept sums."""

    def __init__(self, norm: Norm, mean: np.ndarray, variance: np.ndarray, total: int) -> None:
        self.norm, self.mean, self.variance, self.total = norm, mean, variance, total

    def run(self) -> None:
        self.norm.keep(self.mean, self.variance, self.total)

    def uses(self) -> Sequence[Use]:
        return ()


class _Aside:
    """Keeps x aside where the layer works in place."""

    def __init__(self, blob: Blob, aside: Blob, layout: Layout) -> None:
        self.blob, self.aside, self.representation = blob, aside, layout.representation

    def run(self) -> None:
        self.blob.data.array(self.representation)
        self.blob.data.give(self.aside.data, self.representation)

    def uses(self) -> Sequence[Use]:
        return (
            Use(self.blob.data, self.representation, Access.READ),
            Use(self.aside.data, self.representation, Access.WRITE),
        )


def batch_norm(context: Context, steps: Sequence[Any], source: Blob | None = None) -> Work:
    """steps: BatchNorm or Scale or both, and perhaps a ReLU.

    source  the blob that x was written into, where the step before did not write it into the bottom
    """
    first, norm = steps[0], Norm(steps)
    bottom, top, layouts = norm.bottom, norm.top, context.layouts
    if not 2 <= len(bottom.shape) <= 5:
        raise Refused(f"{len(bottom.shape)} axes")
    work = Work()
    shape = bottom.shape if len(bottom.shape) > 2 else (*bottom.shape, 1, 1)
    x = context.layout_of(source or bottom) if len(bottom.shape) > 2 else layouts.plain(shape)
    aside = source
    if source is None and bottom.data is top.data and (first.needed or norm.batch):
        aside = Blob(shape, np.float32, f"{first.layer.name} before")
        work.forwards.append(_Aside(bottom, aside, x))

        def restore() -> None:
            bottom.data.set(aside.data.array(HOST))

        work.restore = restore
    data = aside or bottom
    work.flops = 4 * elements(shape)
    if sweeps(x):
        forward = Normalisation(norm, data, x, top)
        work.forwards.append(forward)
        context.writes(top, x)
        if first.needed:
            work.backwards = [
                NormalisationGradient(forward, [top], bottom if first.propagate_down[0] else None)
            ]
        return work
    mean, variance = np.zeros(norm.channels, np.float32), np.zeros(norm.channels, np.float32)
    pieces, moments = Pieces(context, x), None
    if norm.batch:
        moments = Moments(context, data, x, pieces, mean, variance)
        work.forwards += [moments, _Sums(norm, mean, variance, elements(shape) // norm.channels)]
    else:
        work.forwards.append(_Kept(norm, mean, variance))
    fused, keeps = norm.relu and norm.batch, first.needed
    flags = (n.USE_SCALE if norm.gamma else 0) | (n.USE_SHIFT if norm.beta else 0) | (n.FUSE_RELU if fused else 0)
    prop = n.TRAINING if keeps else n.INFERENCE
    forward = Descriptor(
        context, "batch_normalization_forward", prop, x.desc, x.desc, norm.eps, flags | n.GLOBAL_STATISTICS
    ).fast()
    small = layouts.plain((norm.channels,), F32)
    statistics = [Fixed(n.MEAN, small, mean), Fixed(n.VARIANCE, small, variance)]
    arguments: list[Argument] = [Read(n.SRC, data, "data", x), Write(n.DST, top, "data", x), *statistics]
    arguments += [
        Read(index, blob, "data", small) for index, blob in ((n.SCALE, norm.gamma), (n.SHIFT, norm.beta)) if blob
    ]
    workspace = None
    if fused and keeps:
        workspace = Fixed(n.WORKSPACE, forward.layout(n.WORKSPACE))
        arguments.append(workspace)
    work.forwards.append(Primitive(forward, arguments))
    context.writes(top, x)
    if fused:
        work.forwards.append(_Spoilt(norm, mean, variance))
    if first.needed:
        work.backwards = [_Gradient(context, norm, first, data, x, pieces, moments, workspace, mean, variance)]
    if norm.relu and not fused:
        _relu_behind(context, work, top, x)
    return work


def _relu_behind(context: Context, work: Work, top: Blob, x: Layout) -> None:
    """The ReLU in a pass of its own: with kept statistics a single value may be NaN, of which a fused one makes 0."""
    algorithm, *numbers = relu(0.0)
    desc = Descriptor(context, "eltwise_forward", n.INFERENCE, algorithm, x.desc, x.desc, *numbers).fast()
    work.forwards.append(Primitive(desc, [Read(n.SRC, top, "data", x), Write(n.DST, top, "data", x)]))
    if work.backwards:
        work.backwards.insert(0, relu_backward(context, top, x, 0.0))


class _Spoilt:
    """NaN in a whole channel, of which the ReLU made 0: of statistics of the batch one value spoils all."""

    def __init__(self, norm: Norm, mean: np.ndarray, variance: np.ndarray) -> None:
        self.norm, self.mean, self.variance = norm, mean, variance

    def run(self) -> None:
        total = self.mean + self.variance
        for blob in (self.norm.gamma, self.norm.beta):
            if blob is not None:
                total += blob.data.array(HOST)
        spoilt = np.isnan(total)
        if spoilt.any():
            top = self.norm.top
            top.data.array(HOST).reshape(*top.shape[:2], -1)[:, spoilt] = np.nan
            top.data.wrote(HOST)

    def uses(self) -> Sequence[Use]:
        return ()


class _Gradient:
    """dx = γ / √(σ² + eps) · (dy - Σ dy / M - x̂ · Σ(dy · x̂) / M), with kept statistics the first term alone; dγ, dβ."""

    def __init__(
        self,
        context: Context,
        norm: Norm,
        first: Any,
        data: Blob,
        x: Layout,
        pieces: Pieces,
        moments: Moments | None,
        workspace: Fixed | None,
        mean: np.ndarray,
        variance: np.ndarray,
    ) -> None:
        self.norm, self.mean, self.variance, self.pieces, self.moments = norm, mean, variance, pieces, moments
        target = norm.bottom if first.propagate_down[0] else Blob(norm.bottom.shape)
        self.sums = GradientSums(context, pieces, x, norm.eps, data, norm.top, target, workspace)
        self.total = elements(x.shape) // norm.channels
        self.rest: Runs | None = None
        self.wide = context.layouts.like(x, (1, norm.channels, *(1 for _ in x.shape[2:])), F32)
        self.slope, self.offset = (aligned_zeros(self.wide.nbytes) for _ in range(2))
        if norm.batch and first.propagate_down[0]:
            self.rest = _PlainRest(self, data, target, x) if x.is_plain else self._rest(context, data, target, x)

    def _rest(self, context: Context, data: Blob, target: Blob, x: Layout) -> Primitive:
        """dx ← dx + slope · x + offset"""
        wide = self.wide

        def sum_and_offset(library: Any, chain: int) -> None:
            library.call("post_ops_append_sum", chain, 1.0, 0, 0)
            library.call("post_ops_append_binary", chain, n.ADD, wide.desc)

        desc = Descriptor(context, "binary", n.MULTIPLY, x.desc, wide.desc, x.desc, post_ops=sum_and_offset).fast()
        return Primitive(
            desc,
            [
                Read(n.SRC, data, "data", x),
                Fixed(n.SRC_1, wide, self.slope),
                Read(n.DST, target, "diff", x),
                Fixed(n.SECOND_POST_OP, wide, self.offset),
            ],
        )

    def run(self) -> None:
        norm, sums, spread = self.norm, self.sums, self.pieces.spread
        gamma = norm.gamma.data.array(HOST) if norm.gamma else np.float32(1)
        spread(self.mean, 0, sums.mean.array.view(np.float32))
        spread(self.variance, 1, sums.variance.array.view(np.float32))
        spread(gamma, 0, sums.gamma.array.view(np.float32))
        sums.run()
        inverse = 1 / np.sqrt(self.variance.astype(np.float64) + norm.eps)
        if self.moments:  # the kernel knows the mean in float32 alone
            sums.scale += (self.mean - self.moments.exact) * inverse * sums.shift
        for blob, wanted, values in zip((norm.gamma, norm.beta), norm.wanted, (sums.scale, sums.shift)):
            if blob and wanted:
                total = blob.diff.array(HOST)
                np.add(total, values, out=total, casting="same_kind")
                blob.diff.wrote(HOST)
        if self.rest is not None:
            factor = gamma * inverse / self.total
            slope, offset = self.slope[: norm.channels], self.offset[: norm.channels]
            slope[...] = -factor * inverse * sums.scale
            offset[...] = -factor * sums.shift - slope.astype(np.float64) * self.mean
            self.rest.run()

    def primitives(self) -> list[Primitive]:
        return [*self.sums.primitives(), *([self.rest] if isinstance(self.rest, Primitive) else [])]

    def uses(self) -> Sequence[Use]:
        return [*self.sums.uses(), *(self.rest.uses() if self.rest else ())]


class _PlainRest:
    """dx ← dx + slope · x + offset, in plain order."""

    def __init__(self, owner: _Gradient, data: Blob, target: Blob, x: Layout) -> None:
        self.owner, self.data, self.target = owner, data, target
        self.shape = (x.shape[0], x.shape[1], -1)

    def run(self) -> None:
        x, dx = (storage.array(HOST).reshape(self.shape) for storage in (self.data.data, self.target.diff))
        dx += x * self.owner.slope[:, None] + self.owner.offset[:, None]

    def uses(self) -> Sequence[Use]:
        return Use(self.data.data, HOST, Access.READ), Use(self.target.diff, HOST, Access.UPDATE)
