"""Convolution, DepthwiseConvolution and Deconvolution, with the ReLU that follows in place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from layerforge.core.blob import Blob
from layerforge.core.storage import Representation
from layerforge.engines.onednn import indirect, winograd
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.layout import F32, Layout
from layerforge.engines.onednn.library import dims
from layerforge.engines.onednn.places import Target
from layerforge.engines.onednn.primitive import (
    Argument,
    Context,
    Descriptor,
    Gradient,
    Primitive,
    Read,
    Write,
)
from layerforge.engines.onednn.step import relu_after
from layerforge.engines.onednn.weighted import again, best, relu_backward, weight_gradient
from layerforge.engines.step import Refused, Work, elements, make_home

MUCH = 1.5  # blocked work over work, from which on kernels without padding are faster
BLOCK = 16


class Shape:
    """A convolution in oneDNN's terms.

    x, y, w   shapes with samples, channels and spatial axes; w (O, C, *k), or (G, O/G, C/G, *k)
    order     how the layer's plain weights lie
    """

    def __init__(self, context: Context, layer: Any, top: Blob) -> None:
        window, group = layer.window, layer.group
        if not 1 <= layer.axes <= 3:
            raise Refused(f"{layer.axes} spatial axes, oneDNN has 1 to 3")
        self.transposed = layer.type == "Deconvolution"
        outputs, kernel = layer.params.num_output, window.kernel
        self.x = (layer.samples, layer.channels, *layer.sizes)
        self.y = (layer.samples, outputs, *top.shape[layer.first + 1 :])
        groups = (group,) if group > 1 else ()
        self.w = (*groups, outputs // group, layer.channels // group, *kernel)
        at = len(groups)
        layouts = context.layouts
        plain = layouts.plain(self.w, F32)
        self.order: Layout = layouts.exchanged(self.w, at, at + 1, F32) if self.transposed else plain
        channels = layer.channels // group, outputs // group
        padded = math.prod(-(-c // BLOCK) * BLOCK for c in channels)
        self.padding = (
            padded / math.prod(channels) if channels[0] > 4 else 1.0
        )  # kernels for pictures pad the outputs alone
        self.name = "deconvolution" if self.transposed else "convolution"
        self.algorithm = n.DECONVOLUTION_DIRECT if self.transposed else n.CONVOLUTION_AUTO
        self.window = (
            dims(window.stride),
            dims([d - 1 for d in window.dilation]),
            dims(window.pad),
            dims(window.pad_end),
        )
        self.multiplications = (
            elements(self.x if self.transposed else self.y)
            * elements(self.w[at + (0 if self.transposed else 1) :])
            // (self.w[at + 1] if self.transposed else 1)
        )


def convolution(
    context: Context,
    steps: Sequence[Any],
    into: Blob | None = None,
    parameters: tuple[Blob, Blob] | None = None,
    added: Blob | None = None,
    masked: bool = False,
) -> Work:
    """steps: the convolution, and the ReLU behind it if there is a second one.

    into        takes the output in place of the top's data
    parameters  weights and bias in place of the layer's own
    added       is added to the output before the ReLU
    masked      the gradient that comes is that behind the ReLU already
    """
    step, layer = steps[0], steps[0].layer
    slope = steps[1].layer.slope if len(steps) > 1 else None
    bottom, top = step.bottoms[0].blob, step.tops[0].blob
    shape = Shape(context, layer, top)
    layouts = context.layouts
    w, b = parameters or (layer.W.blob, layer.b.blob if layer.b else None)
    place = context.places.get((into or top).data)
    if place is not None and (added is not None or not place.writers <= context.planning):
        place = None
    for way in (winograd, indirect) if slope in (None, 0.0) else ():
        if way.pays(context, step, shape):
            target = Target(layouts, into or top, shape.y, place)
            return way.convolution(context, step, shape, bottom, target, (w, b), slope is not None, added)
    bias = layouts.plain(b.shape, F32) if b else None
    bias_desc = bias.desc if bias else None
    work = Work()
    work.chosen = partial(place.take, False) if place else None
    work.flops = 2 * shape.multiplications
    forward = _forward(context, step, shape, bias_desc, slope, context.type_of(into or top))
    if added is not None:
        forward = _with_sum(context, forward, shape, bias_desc, slope)
    x, weights, y = forward.layout(n.SRC), forward.layout(n.WEIGHTS), forward.layout(n.DST)
    stored = layouts.stored(weights, shape.order)
    arguments: list[Argument] = [
        Read(n.SRC, bottom, "data", x),
        Read(n.WEIGHTS, w, "data", weights, stored),
        Write(n.DST, into or top, "data", y),
    ]
    if b and bias:
        arguments.append(Read(n.BIAS, b, "data", bias))
    if added is not None:
        arguments.append(Read(n.FIRST_POST_OP, added, "data", y))
    work.forwards = [Primitive(forward, arguments)]
    context.writes(into or top, y if y.shape == top.shape else layouts.plain(top.shape, y.type))
    if step.needed:
        if weights.type == F32:
            make_home(w, stored)
        if slope is not None and not masked:
            work.backwards.append(relu_backward(context, top, y, slope))
        work.backwards += _backward(context, step, shape, forward, (x, weights, y), stored)
    return work


def _forward(
    context: Context, step: Any, shape: Shape, bias: int | None, slope: float | None, dtype: int
) -> Descriptor:
    """What oneDNN chooses: blocked channels in training. Channels last where blocks would be padded much.

    dtype  the type of the output
    """
    layouts = context.layouts
    free = layouts.any(shape.x), layouts.any(shape.y, dtype)
    last = layouts.channels_last(shape.x).desc, layouts.channels_last(shape.y, dtype).desc
    for x, y in (last, free) if step.needed and shape.padding > MUCH else (free,):
        try:
            desc = Descriptor(
                context,
                f"{shape.name}_forward",
                n.TRAINING if step.needed else n.INFERENCE,
                shape.algorithm,
                x,
                layouts.any(shape.w),
                bias,
                y,
                *shape.window,
                post_ops=relu_after(slope) if slope is not None else None,
            )
        except Refused:
            if y is free[1]:
                raise
            continue
        if not desc.slow and "gemm" not in desc.impl:
            return desc
    return _own_kernel(desc.fast())


def _own_kernel(desc: Descriptor) -> Descriptor:
    """Itself; refuses products of whole matrices in bfloat16, which take longer than kernels for float32."""
    if desc.context.layouts.values != F32 and "gemm" in desc.impl:
        raise Refused(f"in bfloat16 oneDNN has only {desc.impl}")
    return desc


def _with_sum(context: Context, found: Descriptor, shape: Shape, bias: int | None, slope: float | None) -> Descriptor:
    """The same with another value of the output's layout added, then the ReLU."""
    x, y = found.layout(n.SRC), found.layout(n.DST)

    def behind(library: Any, chain: int) -> None:
        library.call("post_ops_append_binary", chain, n.ADD, y.desc)
        if slope is not None:
            relu_after(slope)(library, chain)

    name, weights = f"{shape.name}_forward", context.layouts.any(shape.w)
    desc = Descriptor(
        context, name, n.INFERENCE, shape.algorithm, x.desc, weights, bias, y.desc, *shape.window, post_ops=behind
    )
    if desc.slow or "gemm" in desc.impl:
        raise Refused(f"the sum costs the fast kernel ({desc.impl})")
    return desc


def _backward(
    context: Context,
    step: Any,
    shape: Shape,
    forward: Descriptor,
    chosen: tuple[Layout, Layout, Layout],
    stored: Representation,
) -> list[Primitive]:
    layer, layouts = step.layer, context.layouts
    bottom, top = step.bottoms[0].blob, step.tops[0].blob
    x, weights, y = chosen[0].desc, chosen[1].desc, layouts.typed(chosen[2]).desc
    anything = layouts.any(shape.x), layouts.any(shape.w, F32), layouts.any(shape.y)
    found = []
    b = layer.b.blob if layer.b and layer.needs_gradient[1] else None
    if layer.needs_gradient[0] or b:
        bias = layouts.plain(b.shape, F32) if b else None

        def make_weights(x: int, w: int, y: int) -> Descriptor:
            return Descriptor(
                context,
                f"{shape.name}_backward_weights",
                shape.algorithm,
                x,
                w,
                bias.desc if bias else None,
                y,
                *shape.window,
                forward.handle,
            )

        wishes = [(x, weights, y), (x, anything[1], y), (anything[0], weights, anything[2])]
        if chosen[1].type != F32:
            wishes = wishes[1:2]
        desc = _own_kernel(best(make_weights, anything, *wishes))
        found.append(Primitive(desc, _gradients(context, desc, layer, bottom, top, shape, b, bias)))
    if step.propagate_down[0]:

        def make_data(x: int, w: int, y: int) -> Descriptor:
            return Descriptor(
                context, f"{shape.name}_backward_data", shape.algorithm, x, w, y, *shape.window, forward.handle
            )

        free = layouts.any(shape.w)
        desc = _own_kernel(best(make_data, (anything[0], free, anything[2]), (x, weights, y), (x, free, y)))
        used = desc.layout(n.WEIGHTS)
        found.append(
            Primitive(
                desc,
                [
                    again(context, layer.W.blob, used, chosen[1], shape.order),
                    Read(n.DIFF_DST, top, "diff", desc.layout(n.DIFF_DST)),
                    Write(n.DIFF_SRC, bottom, "diff", desc.layout(n.DIFF_SRC)),
                ],
            )
        )
    return found


def _gradients(
    context: Context,
    desc: Descriptor,
    layer: Any,
    bottom: Blob,
    top: Blob,
    shape: Shape,
    b: Blob | None,
    bias: Layout | None,
) -> list[Argument]:
    arguments: list[Argument] = [
        Read(n.SRC, bottom, "data", desc.layout(n.SRC)),
        Read(n.DIFF_DST, top, "diff", desc.layout(n.DIFF_DST)),
        weight_gradient(context, layer, desc.layout(n.DIFF_WEIGHTS), shape.order),
    ]
    if b and bias:
        arguments.append(Gradient(n.DIFF_BIAS, b, bias))
    return arguments
