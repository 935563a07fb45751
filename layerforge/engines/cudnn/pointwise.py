"""Functions of one value on channels-last blobs: ReLU and Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layerforge.backends.cupy.layout import ChannelsLast
from layerforge.core.blob import Blob
from layerforge.engines.cudnn.context import Context
from layerforge.engines.cudnn.rules import check_lies_last
from layerforge.engines.cudnn.runs import KernelRun, Run, data_of, diff_of, read, write
from layerforge.engines.step import Refused, Work, elements


def relu(context: Context, steps: Sequence[Any]) -> Work:
    """y = max(x, 0) + slope · min(x, 0);  steps: the ReLU alone."""
    step, layer = steps[0], steps[0].layer
    bottom, top = step.bottoms[0].blob, step.tops[0].blob
    inside = bottom.data is top.data
    if layer.limits:
        raise Refused("its kernel has no limits")
    if inside and layer.slope < 0 and step.needed:
        raise Refused("in place, where the gradient needs the input")
    check_lies_last(context, [bottom])
    x, slope = context.layout(bottom.shape), layer.slope
    work = Work()
    work.flops = elements(top.shape)
    work.forwards = [KernelRun("ReLU", lambda x, y: context.last.sum([(x, 1.0)], y, slope), read(data_of(bottom), x),
                               write(data_of(top), x))]
    context.writes(top, x)
    if step.needed and step.propagate_down[0]:
        signs = top if inside else bottom
        work.backwards = [
            KernelRun("ReLU gradient", lambda dy, y, dx: context.last.relu_gradient(dy, y, dx, slope),
                      read(diff_of(top), x), read(data_of(signs), x), write(diff_of(bottom), x))
        ]
    return work


def relu_backward(context: Context, blob: Blob, layout: ChannelsLast, slope: float) -> Run:
    """dy = dy where y > 0, else slope · dy; in place in the blob's diff."""

    def mask(dy: Any, y: Any, dx: Any) -> None:
        context.last.relu_gradient(dy, y, dx, slope)

    dy, y, dx = read(diff_of(blob), layout), read(data_of(blob), layout), write(diff_of(blob), layout)
    return KernelRun("ReLU gradient", mask, dy, y, dx)


def dropout(context: Context, steps: Sequence[Any]) -> Work:
    """The layer's own draw, in plain order: it drops what it would drop there."""
    step, layer = steps[0], steps[0].layer
    bottom, top = step.bottoms[0].blob, step.tops[0].blob
    check_lies_last(context, [bottom])
    x, channels, factor = context.layout(bottom.shape), bottom.shape[1], float(layer.factor)
    positions = elements(bottom.shape[2:])
    work = Work()
    context.writes(top, x)

    def apply(source: Any, target: Any) -> None:
        if layer.train:
            context.last.dropout(source, layer.mask.data, target, channels, positions, factor)
        else:
            context.last.sum([(source, factor)], target)

    if layer.train:
        work.forwards.append(Run(layer.draw))
    elif bottom.data is top.data and factor == 1:
        return work
    work.flops = elements(top.shape)
    work.forwards.append(KernelRun("dropout", apply, read(data_of(bottom), x), write(data_of(top), x)))
    if step.needed and step.propagate_down[0]:
        work.backwards = [KernelRun("dropout", apply, read(diff_of(top), x), write(diff_of(bottom), x))]
    return work
