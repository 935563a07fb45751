"""LRN across channels, and Softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.layout import F32, Layout
from layerforge.engines.onednn.primitive import Argument, Context, Descriptor, Primitive, Read, Write
from layerforge.engines.onednn.step import workspace
from layerforge.engines.step import Refused, Work, elements


def lrn(context: Context, steps: Sequence[Any]) -> Work:
    """y = x · (k + alpha/n Σ x²)^-beta, with Caffe's alpha."""
    step, layer, p = steps[0], steps[0].layer, steps[0].layer.params
    bottom, top = step.bottoms[0].blob, step.tops[0].blob
    if not layer.across:
        raise Refused("WITHIN_CHANNEL adds 1 whatever k says, oneDNN's adds k")
    if bottom is top:
        raise Refused("in place")
    x = context.layout_of(bottom)
    numbers = p.local_size, p.alpha, p.beta, p.k

    def make(desc: int) -> Descriptor:
        return Descriptor(
            context, "lrn_forward", n.TRAINING if step.needed else n.INFERENCE, n.LRN_ACROSS, desc, desc, *numbers
        )

    forward = make(x.desc)
    if forward.slow:  # its fast kernels are for blocked channels
        blocked = context.layouts.tagged(bottom.shape, 78)  # aBcd16b
        other = make(blocked.desc)
        if not other.slow:
            forward, x = other, blocked
    y = forward.layout(n.DST)
    arguments: list[Argument] = [Read(n.SRC, bottom, "data", x), Write(n.DST, top, "data", y)]
    layout, kept = _workspace_layout(context, forward), None
    if layout:
        leave, kept = workspace(layout)
        arguments.append(leave)
    work = Work()
    work.flops = 3 * elements(top.shape)
    work.forwards = [Primitive(forward, arguments)]
    context.writes(top, y)
    if step.needed and step.propagate_down[0]:
        backward = Descriptor(context, "lrn_backward", n.LRN_ACROSS, x.desc, y.desc, x.desc, *numbers, forward.handle)
        back: list[Argument] = [
            Read(n.SRC, bottom, "data", x),
            Read(n.DIFF_DST, top, "diff", y),
            Write(n.DIFF_SRC, bottom, "diff", x),
        ]
        if kept:
            back.append(kept)
        work.backwards = [Primitive(backward, back)]
    return work


def _workspace_layout(context: Context, forward: Descriptor) -> Layout | None:
    desc = context.library.desc_of(forward.handle, n.EXEC_ARG_DESC, n.WORKSPACE)
    if desc is None or not context.library.desc_size(desc):
        return None
    return context.layouts.of(desc)


def softmax(context: Context, steps: Sequence[Any]) -> Work:
    """y[c] = exp x[c] / Σ exp x   along the layer's axis."""
    step, layer = steps[0], steps[0].layer
    bottom, top = step.bottoms[0].blob, step.tops[0].blob
    axis = layer.params.axis % len(bottom.shape)
    x = context.layouts.typed(context.layout_of(bottom), F32)

    def make(desc: int) -> Descriptor:
        return Descriptor(
            context, "softmax_forward", n.TRAINING if step.needed else n.INFERENCE, n.SOFTMAX, desc, desc, axis
        )

    forward = make(x.desc)
    if forward.slow:  # its fast kernels want the classes side by side
        axes = [i for i in range(len(bottom.shape)) if i != axis]
        x = context.layouts.ordered(bottom.shape, [*axes, axis], F32)
        forward = make(x.desc)
    forward.fast()
    work = Work()
    work.flops = 4 * elements(top.shape)
    work.forwards = [Primitive(forward, [Read(n.SRC, bottom, "data", x), Write(n.DST, top, "data", x)])]
    context.writes(top, x)
    if step.needed and step.propagate_down[0]:
        backward = Descriptor(
            context, "softmax_backward", n.SOFTMAX, x.desc, x.desc, x.desc, axis, forward.handle
        ).fast()
        work.backwards = [
            Primitive(
                backward,
                [Read(n.DST, top, "data", x), Read(n.DIFF_DST, top, "diff", x), Write(n.DIFF_SRC, bottom, "diff", x)],
            )
        ]
    return work
