"""Pooling and local response normalisation of channels-last blobs, by kernels of our own: cuDNN's frontend has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.engines.cudnn.context import Context
from layerforge.engines.cudnn.rules import check_lies_last
from layerforge.engines.cudnn.runs import KernelRun, data_of, diff_of, read, write
from layerforge.engines.rules import check_pooling
from layerforge.engines.step import Refused, Work, elements


def pooling(context: Context, steps: Sequence[Any]) -> Work:
    """MAX, which keeps the places of the maxima for its gradient, and AVE."""
    step, layer = steps[0], steps[0].layer
    bottom, top = step.bottoms[0].blob, step.tops[0].blob
    check_pooling(step)
    check_lies_last(context, [bottom])
    x, y = context.layout(bottom.shape), context.layout(top.shape)
    shapes, window, last = (bottom.shape, top.shape), layer.window, context.last
    backward_wanted, maxima = step.needed and step.propagate_down[0], layer.method == "MAX"
    index = context.own(elements(top.shape), np.int32) if maxima and backward_wanted else lambda: None
    work = Work()
    work.flops = elements(top.shape) * elements(window.kernel)
    context.writes(top, y)

    def forward(x: Any, index: Any, y: Any) -> None:
        if maxima:
            last.max_pool(x, y, index, window, *shapes)
        else:
            last.average_pool(x, y, window, *shapes, layer.count_padding)

    def backward(dy: Any, index: Any, dx: Any) -> None:
        if maxima:
            last.max_pool_gradient(dy, index, dx, window, *shapes)
        else:
            last.average_pool_gradient(dy, dx, window, *shapes, layer.count_padding)

    work.forwards = [KernelRun("pooling", forward, read(data_of(bottom), x), index, write(data_of(top), y))]
    if backward_wanted:
        sources = read(diff_of(top), y), index, write(diff_of(bottom), x)
        work.backwards = [KernelRun("pooling gradient", backward, *sources)]
    return work


def lrn(context: Context, steps: Sequence[Any]) -> Work:
    """ACROSS_CHANNELS: the neighbours lie side by side."""
    step, layer = steps[0], steps[0].layer
    bottom, top, p = step.bottoms[0].blob, step.tops[0].blob, layer.params
    if not layer.across:
        raise Refused("it has no squares of places")
    if bottom.data is top.data:
        raise Refused("in place")
    check_lies_last(context, [bottom])
    x, channels, last = context.layout(bottom.shape), bottom.shape[1], context.last
    how = {"size": p.local_size, "alpha": p.alpha, "beta": p.beta}
    scale = context.own(elements(bottom.shape))
    work = Work()
    work.flops = elements(bottom.shape) * 2 * p.local_size
    context.writes(top, x)

    def forward(x: Any, y: Any, scale: Any) -> None:
        last.lrn(x, y, scale, channels, k=p.k, **how)

    def backward(dy: Any, x: Any, scale: Any, dx: Any) -> None:
        last.lrn_gradient(dy, x, scale, dx, channels, **how)

    work.forwards = [KernelRun("LRN", forward, read(data_of(bottom), x), write(data_of(top), x), scale)]
    if step.needed and step.propagate_down[0]:
        sources = read(diff_of(top), x), read(data_of(bottom), x), scale, write(diff_of(bottom), x)
        work.backwards = [KernelRun("LRN gradient", backward, *sources)]
    return work
