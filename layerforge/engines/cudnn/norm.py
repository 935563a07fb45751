"""Normalisations: with the batch's statistics as graphs of their own, with known ones as factors behind a product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.backends.cupy.channels_last import keep_statistics, norm_factors
from layerforge.core.blob import Blob
from layerforge.engines.cudnn.context import Context
from layerforge.engines.cudnn.graphs import Norm, NormGradient, NormInference
from layerforge.engines.cudnn.rules import check_lies_last
from layerforge.engines.cudnn.runs import GraphRun, KernelRun, Part, Run, Source, data_of, diff_of, read, update, write
from layerforge.engines.cudnn.weighted import Weighted, accumulated
from layerforge.engines.normalization import NormLayers
from layerforge.engines.step import Refused, Work, elements


class Statistics:
    """What a normalisation with the batch's statistics keeps for its gradient: mean, 1/√(var + eps), signs of y."""

    def __init__(self, context: Context, channels: int, count: int) -> None:
        self.mean, self.inv_var = context.own(channels), context.own(channels)
        self.mask = context.own(-(-count // 8), np.uint8)


class BatchNorm:
    """BatchNorm, Scale, a sum and ReLU with the batch's statistics.

    steps  their own;  those of types Eltwise and ReLU may be missing
    """

    def __init__(self, context: Context, steps: Sequence[Any]) -> None:
        self.context, self.first = context, steps[0]
        self.layers = NormLayers([step for step in steps if step.layer.type != "Eltwise"])
        if not self.layers.batch:
            raise Refused("kept statistics, whose gradient it does not have")
        shape = self.layers.bottom.shape
        self.shape = (*shape[:2], *shape[2:], 1, 1)[:4]
        if len(shape) > 4:
            raise Refused(f"{len(shape)} axes, it takes up to 4")
        self.layout, self.channels = context.layout(self.shape), shape[1]
        self.sum = next((step for step in steps if step.layer.type == "Eltwise"), None)
        self.z = other_of(self.sum, steps) if self.sum else None
        self.kept = Statistics(context, self.channels, elements(shape))
        self.ones, self.zeros = context.own(self.channels, value=1.0), context.own(self.channels)

    def _factor(self, blob: Blob | None, rest: Source) -> Source:
        return read(data_of(blob), self.context.memory) if blob else rest

    def forward(self, x: Part, top: Part) -> list[Run]:
        """y from x, and the kept sums."""
        context, layers, kept = self.context, self.layers, self.kept
        eps, one = np.full(1, layers.norm.params.eps, np.float32), np.ones(1, np.float32)
        values: dict[str, Source] = {
            "x": read(x, self.layout),
            "scale": self._factor(layers.gamma, self.ones),
            "bias": self._factor(layers.beta, self.zeros),
            "old_mean": self.zeros,
            "old_var": self.zeros,
            "eps": lambda: eps,
            "momentum": lambda: one,
            **{"z": read(data_of(self.z), self.layout) for _ in range(self.z is not None)},
            **{"zero": context.own(1, context.dtype) for _ in range(layers.relu)},
            "y": write(top, self.layout),
            "mean": kept.mean,
            "inv_var": kept.inv_var,
            "new_mean": context.own(self.channels),
            "new_var": context.own(self.channels),
            **{"mask": kept.mask for _ in range(layers.relu)},
        }
        key = Norm(self.shape, context.kind, self.z is not None, layers.relu)
        return [GraphRun(context, key, values), self._keep(float(eps[0]))]

    def _keep(self, eps: float) -> Run:
        layer, kernels = self.layers.norm, self.context.kernels
        total = elements(self.shape) // self.channels
        correction = total / (total - 1) if total > 1 else 1.0
        fraction = layer.params.moving_average_fraction

        def keep(mean: Any, inv_var: Any, *sums: Any) -> None:
            keep_statistics(kernels, mean, inv_var, sums, fraction=fraction, eps=eps, correction=correction)

        sums = [update(data_of(view.blob), self.context.memory) for view in layer.sums]
        return KernelRun("kept statistics", keep, self.kept.mean, self.kept.inv_var, *sums)

    def backward(self, x: Part, dy: Source, dx: Source) -> list[Run]:
        """dx, what is added to the gradients of factor and offset, and the other term's gradient."""
        context, layers, kept = self.context, self.layers, self.kept
        both = [context.own(self.channels) for _ in range(2)]
        wants_z = self.sum is not None and self.sum.propagate_down[self._place_of_z()]
        values: dict[str, Source] = {
            "dy": dy,
            "x": read(x, self.layout),
            "scale": self._factor(layers.gamma, self.ones),
            "mean": kept.mean,
            "inv_var": kept.inv_var,
            **{"mask": kept.mask for _ in range(layers.relu)},
            "dx": dx,
            "dscale": both[0],
            "dbias": both[1],
            **{"dz": write(diff_of(self.z), self.layout) for _ in range(wants_z)},
        }
        runs: list[Run] = [GraphRun(context, NormGradient(self.shape, context.kind, wants_z, layers.relu), values)]
        for blob, wanted, new in zip((layers.gamma, layers.beta), layers.wanted, both):
            if blob and wanted:
                runs.append(accumulated(context, new, diff_of(blob)))
        return runs

    def _place_of_z(self) -> int:
        return next(i for i, view in enumerate(self.sum.bottoms) if view.blob is self.z)


def other_of(step: Any, steps: Sequence[Any]) -> Blob:
    """The term of a sum that the steps before it do not make."""
    made = [view.blob for each in steps for view in each.tops]
    return next(view.blob for view in step.bottoms if view.blob not in made)


def norm(context: Context, steps: Sequence[Any]) -> Work:
    """steps: BatchNorm or Scale or both, and perhaps a sum and a ReLU."""
    if not steps[0].needed and not _batch(steps):
        return _known(context, steps)
    check_lies_last(context, [steps[0].bottoms[0].blob])
    each = BatchNorm(context, steps)
    bottom, top, layout = each.layers.bottom, steps[-1].tops[0].blob, each.layout
    work, x = Work(), data_of(bottom)
    work.flops = 4 * elements(bottom.shape)
    inside = bottom.data is each.layers.top.data
    if inside:
        x = data_of(Blob(each.shape, name=f"{steps[0].layer.name} before"))
        copy = KernelRun("copy", _copy(context), read(data_of(bottom), layout), write(x, layout))
        work.forwards.append(copy)
        work.restore = lambda: bottom.data.set(x.storage.array())
    work.forwards += each.forward(x, data_of(top))
    context.writes(top, layout)
    if steps[0].needed:
        dy: Source = read(diff_of(top), layout)
        room = _room(context, layout.form.count)
        dx: Source = write(diff_of(bottom), layout) if steps[0].propagate_down[0] else room
        if inside and dx is not room:  # cuDNN does not promise to work in place
            work.backwards.append(KernelRun("copy", _copy(context), dy, room))
            dy = room
        work.backwards += each.backward(x, dy, dx)
    return work


def _copy(context: Context) -> Any:
    return lambda x, y: context.last.sum([(x, 1.0)], y)


def _room(context: Context, count: int) -> Any:
    context.gradients.need(count * context.dtype.itemsize)
    return lambda: context.gradients.array(count, context.dtype)


def _batch(steps: Sequence[Any]) -> bool:
    return any(step.layer.type == "BatchNorm" and not step.layer.kept_statistics for step in steps)


def convolution_norm(context: Context, steps: Sequence[Any]) -> Work:
    """steps: the convolution, BatchNorm or Scale or both, and perhaps a sum and a ReLU."""
    first, rest = steps[0], steps[1:]
    if not first.needed and not _batch(rest):
        return _known_behind(context, steps)
    product, each = Weighted(context, first), BatchNorm(context, rest)
    top, between = steps[-1].tops[0].blob, data_of(Blob(each.shape, name=f"{first.layer.name} before"))
    if each.layout is not product.y:
        raise Refused("a normalisation that sees other axes")
    work = Work()
    work.flops = 2 * elements(product.g.y) * elements(product.g.w[1:]) + 4 * elements(product.g.y)
    work.forwards = [product.forward(between), *each.forward(between, data_of(top))]
    context.writes(top, product.y)
    if first.needed:
        room = _room(context, product.y.form.count)
        work.backwards = each.backward(between, read(diff_of(top), product.y), room) + product.backward(room)
        if context.keep == "all":  # the gradient that an in-place layer would have left
            work.backwards.append(KernelRun("copy", _copy(context), room, write(diff_of(top), product.y)))
    return work


class Known:
    """Known statistics with factor and offset as y = factor · x + offset, made anew in every pass: there are few."""

    def __init__(self, context: Context, steps: Sequence[Any], bias: Blob | None = None) -> None:
        layers = NormLayers([step for step in steps if step.layer.type in ("BatchNorm", "Scale")])
        self.factor, self.offset = context.own(layers.channels), context.own(layers.channels)
        sums = [view.blob for view in layers.norm.sums] if layers.norm else []
        given = [blob for blob in (*sums, layers.gamma, layers.beta, bias) if blob]
        eps = layers.norm.params.eps if layers.norm else 0.0

        def fold(factor: Any, offset: Any, *arrays: Any) -> None:
            at = {id(blob): array for blob, array in zip(given, arrays)}
            three = [at[id(blob)] for blob in sums] or None
            rest = (at.get(id(blob)) for blob in (layers.gamma, layers.beta, bias))
            norm_factors(context.kernels, three, *rest, factor, offset, eps)

        values = [read(data_of(blob), context.memory) for blob in given]
        self.run = KernelRun("factors of known statistics", fold, self.factor, self.offset, *values)


def _known(context: Context, steps: Sequence[Any]) -> Work:
    """y = relu(factor · x + offset + z)"""
    bottom, top = steps[0].bottoms[0].blob, steps[-1].tops[0].blob
    check_lies_last(context, [bottom])
    known, layout = Known(context, steps), context.layout(bottom.shape)
    relu, adds = steps[-1].layer.type == "ReLU", any(step.layer.type == "Eltwise" for step in steps)
    key = NormInference((*bottom.shape, 1, 1)[:4], context.kind, adds, relu)
    values: dict[str, Source] = {"x": read(data_of(bottom), layout), "factor": known.factor, "bias": known.offset}
    if adds:
        z = other_of(next(step for step in steps if step.layer.type == "Eltwise"), steps)
        values["z"] = read(data_of(z), layout)
    work = Work()
    work.flops = 2 * elements(bottom.shape)
    work.forwards = [known.run, GraphRun(context, key, {**values, "y": write(data_of(top), layout)})]
    context.writes(top, layout)
    return work


def _known_behind(context: Context, steps: Sequence[Any]) -> Work:
    """y = relu(factor · (w ⋆ x) + offset + z): the convolution's bias is part of the offset."""
    product, layer = Weighted(context, steps[0]), steps[0].layer
    between = [step for step in steps[1:] if step.layer.type in ("BatchNorm", "Scale")]
    adds = next((step for step in steps if step.layer.type == "Eltwise"), None)
    top, relu = steps[-1].tops[0].blob, steps[-1].layer.type == "ReLU"
    work, how = Work(), {}
    work.flops = 2 * elements(product.g.y) * elements(product.g.w[1:])
    if between:
        known = Known(context, between, layer.b.blob if layer.b else None)
        work.forwards.append(known.run)
        how = {"factor": known.factor, "bias": known.offset}
    z = data_of(other_of(adds, steps)) if adds else None
    work.forwards.append(product.forward(data_of(top), relu=relu, z=z, **how))
    context.writes(top, product.y)
    return work


def convolution_sum(context: Context, steps: Sequence[Any]) -> Work:
    """steps: the convolution, perhaps its known normalisation, the sum with another value, perhaps a ReLU."""
    if _batch(steps):
        raise Refused("a normalisation with the batch's statistics before the sum")
    if steps[-1].layer.type == "ReLU" and steps[-1].layer.slope:
        raise Refused("a ReLU with a slope behind the sum")
    return _known_behind(context, steps)
