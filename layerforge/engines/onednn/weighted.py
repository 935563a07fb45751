"""What layers with weights share: choosing kernels, homes of parameters, the gradient of a fused ReLU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from layerforge.core.blob import Blob
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.layout import F32, Layout
from layerforge.engines.onednn.primitive import (
    Argument,
    Context,
    Descriptor,
    Gradient,
    Lent,
    Primitive,
    Read,
    Write,
)
from layerforge.engines.step import Refused, make_home


def best(make: Callable[..., Descriptor], anything: Sequence[Any], *wishes: Sequence[Any]) -> Descriptor:
    """The first wish for layouts that gets a fast kernel, else what oneDNN picks when it is free.

    Raises Refused for reference code.
    """
    free = make(*anything).fast()
    for wish in wishes:
        try:
            desc = make(*wish)
        except Refused:
            continue
        if desc.impl == free.impl or not (desc.slow or "gemm" in desc.impl):
            return desc
    return free


def again(context: Context, w: Blob, layout: Layout, forward: Layout, order: Layout) -> Argument:
    """The weights for backward: those of forward where they are a copy in another type and lie as they do there."""
    stored = context.layouts.stored(layout, order)
    if layout is forward and layout.type != F32:
        return Read(n.WEIGHTS, w, "data", layout, stored)
    return Lent(n.WEIGHTS, w, layout, stored, context)


def weight_gradient(context: Context, layer: Any, layout: Layout, order: Layout) -> Argument:
    """Where the gradient of the weights goes; oneDNN computes it also where only the bias's is wanted."""
    w = layer.W.blob
    if context.layouts.values != F32 and layer.needs_gradient[0]:  # gradient and history lie as the weights do
        make_home(w, context.layouts.stored(layout, order))
    if not layer.needs_gradient[0]:
        return Write(n.DIFF_WEIGHTS, Blob(w.shape), "diff", layout)
    return Gradient(n.DIFF_WEIGHTS, w, layout, context.layouts.stored(layout, order))


def relu_backward(
    context: Context, blob: Blob, layout: Layout, slope: float, target: Blob | None = None
) -> Primitive:
    """dx = dy where y > 0, else slope · dy; in the blob's diff in place, or in the target's."""
    hint = Descriptor(context, "eltwise_forward", n.TRAINING, n.RELU_BY_DST, layout.desc, layout.desc, slope, 0.0)
    desc = Descriptor(
        context, "eltwise_backward", n.RELU_BY_DST, layout.desc, layout.desc, layout.desc, slope, 0.0, hint.handle
    )
    return Primitive(
        desc,
        [
            Read(n.DST, blob, "data", layout),
            Read(n.DIFF_DST, blob, "diff", layout),
            Write(n.DIFF_SRC, target or blob, "diff", layout),
        ],
    )
