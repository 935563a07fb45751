"""Several channels-last values into one: Eltwise SUM with the ReLU behind it, Concat, and the gradients of Split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layerforge.backends.cupy.layout import ChannelsLast
from layerforge.engines.cudnn.context import Context
from layerforge.engines.cudnn.pointwise import relu_backward
from layerforge.engines.cudnn.rules import check_lies_last
from layerforge.engines.cudnn.runs import KernelRun, Part, Run, data_of, diff_of, read, update, write
from layerforge.engines.rules import check_sum
from layerforge.engines.step import Refused, Work, elements


def total(
    context: Context, terms: Sequence[tuple[Part, float]], target: Part, layout: ChannelsLast,
    slope: float | None = None,
) -> Run:
    """target = Σ factor · term, then the ReLU of this slope if there is one."""
    factors = [factor for _, factor in terms]

    def work(*arrays: Any) -> None:
        context.last.sum(list(zip(arrays[:-1], factors)), arrays[-1], slope)

    return KernelRun("sum", work, *(read(storage, layout) for storage, _ in terms), write(target, layout))


def eltwise(context: Context, steps: Sequence[Any]) -> Work:
    """y = Σ coeff_k · x_k; steps: the sum, and the ReLU behind it if there is a second one."""
    step, layer = steps[0], steps[0].layer
    slope = steps[1].layer.slope if len(steps) > 1 else None
    bottoms, top = [view.blob for view in step.bottoms], step.tops[0].blob
    check_sum(layer, bottoms, top)
    check_lies_last(context, bottoms)
    layout, work = context.layout(top.shape), Work()
    work.flops = elements(top.shape) * len(bottoms)
    terms = [(data_of(blob), factor) for blob, factor in zip(bottoms, layer.coeff)]
    work.forwards = [total(context, terms, data_of(top), layout, slope)]
    context.writes(top, layout)
    if step.needed:
        if slope is not None:
            work.backwards.append(relu_backward(context, top, layout, slope))
        for blob, factor, down in zip(bottoms, layer.coeff, step.propagate_down):
            if down:
                work.backwards.append(total(context, [(diff_of(top), factor)], diff_of(blob), layout))
    return work


def concat(context: Context, steps: Sequence[Any]) -> Work:
    """y = x_0 ⧺ x_1 ⧺ … along the channels; backward takes the parts."""
    step, layer = steps[0], steps[0].layer
    bottoms, top = [view.blob for view in step.bottoms], step.tops[0].blob
    if layer.along != 1:
        raise Refused(f"axis {layer.along}, it joins channels")
    check_lies_last(context, bottoms)
    whole, y, work, first = top.shape[1], context.layout(top.shape), Work(), 0
    rows = elements(top.shape) // whole
    context.writes(top, y)
    for blob, down in zip(bottoms, step.propagate_down):
        x, width, sizes = context.layout(blob.shape), blob.shape[1], (rows, blob.shape[1])
        here, there = (width, 0), (whole, first)
        work.forwards.append(_part(context, data_of(blob), data_of(top), (x, y), sizes, (here, there), first == 0))
        if step.needed and down:
            work.backwards.append(_part(context, diff_of(top), diff_of(blob), (y, x), sizes, (there, here), True))
        first += width
    return work


def _part(
    context: Context, source: Part, target: Part, layouts: tuple[ChannelsLast, ChannelsLast],
    sizes: tuple[int, int], places: tuple[tuple[int, int], tuple[int, int]], begins: bool,
) -> Run:
    """Some channels of source into some of target, of which it is the first writer if it `begins`."""

    def work(x: Any, y: Any) -> None:
        context.last.copy_channels(x, y, *sizes, *places)

    have, want = layouts
    return KernelRun("copy of channels", work, read(source, have), (write if begins else update)(target, want))


def split(context: Context, steps: Sequence[Any]) -> Work:
    """dx = Σ dy_i; forward has nothing to do: the tops are the bottom's own memory."""
    step = steps[0]
    bottom, tops = step.bottoms[0].blob, [view.blob for view in step.tops]
    if not step.needed or not step.propagate_down[0]:
        raise Refused("nothing is summed")
    if any(blob.diff is bottom.diff for blob in tops):
        raise Refused("a top has the bottom's gradient")
    check_lies_last(context, [bottom])
    work, layout = Work(), context.layout(bottom.shape)
    work.backwards = [total(context, [(diff_of(blob), 1.0) for blob in tops], diff_of(bottom), layout)]
    return work
