"""InnerProduct, with the ReLU that follows in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layerforge.core.blob import Blob
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.layout import F32, Layout
from layerforge.engines.onednn.primitive import Argument, Context, Descriptor, Gradient, Primitive, Read, Write
from layerforge.engines.onednn.step import relu_after
from layerforge.engines.onednn.weighted import again, best, relu_backward, weight_gradient
from layerforge.engines.step import Work, elements, make_home


def inner_product(context: Context, steps: Sequence[Any]) -> Work:
    """steps: the inner product, and the ReLU behind it if there is a second one."""
    step, layer, layouts = steps[0], steps[0].layer, context.layouts
    slope = steps[1].layer.slope if len(steps) > 1 else None
    bottom, top, w = step.bottoms[0].blob, step.tops[0].blob, layer.W.blob
    outputs = layer.params.num_output
    seen = _axes(context, bottom)
    wide = layer.first == 1 and 3 <= len(seen) <= 5 and not layer.params.transpose
    inner = seen[1:] if wide else (layer.k,)  # with its axes, blocked inputs fit without a reorder
    x_shape, w_shape, y_shape = (layer.m, *inner), (outputs, *inner), (layer.m, outputs)
    b = layer.b.blob if layer.b else None
    bias = layouts.plain(b.shape, F32) if b else None
    y = layouts.plain(y_shape, context.type_of(top))
    prop = n.TRAINING if step.needed else n.INFERENCE

    def make(x: int, w: int) -> Descriptor:
        return Descriptor(
            context,
            "inner_product_forward",
            prop,
            x,
            w,
            bias.desc if bias else None,
            y.desc,
            post_ops=relu_after(slope) if slope is not None else None,
        )

    known = layouts.typed(context.written.get(bottom.data) or layouts.plain(bottom.shape))
    any_x, any_w = layouts.any(x_shape), layouts.any(w_shape)
    wishes = [(known.desc, any_w)] if known.shape == x_shape else []
    if step.needed and not wide and layouts.values == F32:  # plain weights serve all three passes
        wishes.insert(0, (layouts.plain(x_shape).desc, _order(context, layer, w_shape).desc))
    if step.needed and wide and layouts.values != F32 and wishes:  # in the layout of the gradient: the copy is a cast
        wishes.insert(0, (known.desc, layouts.like(known, w_shape).desc))
    forward = best(make, (any_x, any_w), *wishes)
    if wide and not step.needed and layer.m > 1 and "gemm:jit" in forward.impl:
        flat = make(layouts.plain((layer.m, layer.k)).desc, layouts.any((outputs, layer.k)))
        if "brgemm" in flat.impl:  # which reads many weights up to three times as fast: that pays for a plain x
            forward, w_shape = flat, (outputs, layer.k)
    order = _order(context, layer, w_shape)
    x, weights = forward.layout(n.SRC), forward.layout(n.WEIGHTS)
    stored = layouts.stored(weights, order)
    arguments: list[Argument] = [
        Read(n.SRC, bottom, "data", x),
        Read(n.WEIGHTS, w, "data", weights, stored),
        Write(n.DST, top, "data", y),
    ]
    if b and bias:
        arguments.append(Read(n.BIAS, b, "data", bias))
    work = Work()
    work.flops = 2 * elements(y_shape) * layer.k
    work.forwards = [Primitive(forward, arguments)]
    context.writes(top, y if y.shape == top.shape else layouts.plain(top.shape, y.type))
    if step.needed:
        if weights.type == F32:
            make_home(w, stored)
        if slope is not None:
            work.backwards.append(relu_backward(context, top, y, slope))
        work.backwards += _backward(context, step, forward, (x, weights, y), order)
    return work


def _order(context: Context, layer: Any, shape: tuple[int, ...]) -> Layout:
    """How the layer's plain weights lie."""
    if layer.params.transpose:
        return context.layouts.exchanged(shape, 0, 1, F32)
    return context.layouts.plain(shape, F32)


def _axes(context: Context, bottom: Blob) -> tuple[int, ...]:
    """The bottom's shape, or that in which a layer before a Flatten has written the same memory."""
    written = context.written.get(bottom.data)
    flattened = written is not None and len(bottom.shape) == 2 and written.shape[0] == bottom.shape[0]
    return written.shape if written is not None and flattened else bottom.shape


def _backward(
    context: Context,
    step: Any,
    forward: Descriptor,
    chosen: tuple[Layout, Layout, Layout],
    order: Layout,
) -> list[Primitive]:
    layer, layouts = step.layer, context.layouts
    bottom, top, w = step.bottoms[0].blob, step.tops[0].blob, layer.W.blob
    x, weights, y = chosen[0], chosen[1], layouts.typed(chosen[2])
    found = []
    b = layer.b.blob if layer.b and layer.needs_gradient[1] else None
    if layer.needs_gradient[0] or b:
        bias = layouts.plain(b.shape, F32) if b else None

        def make_weights(x: int, w: int) -> Descriptor:
            return Descriptor(
                context, "inner_product_backward_weights", x, w, bias.desc if bias else None, y.desc, forward.handle
            )

        free = layouts.any(weights.shape, F32)
        desc = best(
            make_weights,
            (layouts.any(x.shape), free),
            (x.desc, weights.desc if weights.type == F32 else free),
        )
        arguments: list[Argument] = [
            Read(n.SRC, bottom, "data", desc.layout(n.SRC)),
            Read(n.DIFF_DST, top, "diff", y),
            weight_gradient(context, layer, desc.layout(n.DIFF_WEIGHTS), order),
        ]
        if b and bias:
            arguments.append(Gradient(n.DIFF_BIAS, b, bias))
        found.append(Primitive(desc, arguments))
    if step.propagate_down[0]:

        def make_data(x: int, w: int) -> Descriptor:
            return Descriptor(context, "inner_product_backward_data", x, w, y.desc, forward.handle)

        desc = best(make_data, (layouts.any(x.shape), layouts.any(weights.shape)), (x.desc, weights.desc))
        used = desc.layout(n.WEIGHTS)
        found.append(
            Primitive(
                desc,
                [
                    again(context, w, used, weights, order),
                    Read(n.DIFF_DST, top, "diff", y),
                    Write(n.DIFF_SRC, bottom, "diff", desc.layout(n.DIFF_SRC)),
                ],
            )
        )
    return found
