"""Dropout: the layer's own draw, kept as one byte a value in the layout of the values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.backends.numpy.random import words
from layerforge.core.blob import Blob
from layerforge.core.use import Access, Use
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.layout import U8, Layout
from layerforge.engines.onednn.pointwise import linear
from layerforge.engines.onednn.primitive import Context, Descriptor, Primitive, Read, Write
from layerforge.engines.step import Work, elements


def dropout(context: Context, steps: Sequence[Any]) -> Work:
    """TRAIN: y = factor · mask · x;  TEST: y = factor · x, which in place and with the factor 1 is no work."""
    step, layer = steps[0], steps[0].layer
    bottom, top = step.bottoms[0].blob, step.tops[0].blob
    x = context.layout_of(bottom)
    backward_wanted = step.needed and step.propagate_down[0]
    work = Work()
    context.writes(top, x)
    if not layer.train or not layer.threshold:
        if layer.train:
            work.forwards.append(Skip(layer))
        if bottom is not top or layer.factor != 1:
            work.forwards.append(linear(context, bottom, top, "data", x, layer.factor))
            if backward_wanted:
                work.backwards = [linear(context, top, bottom, "diff", x, layer.factor)]
        return work
    mask, bits = Blob(bottom.shape, np.float32, "mask"), context.layouts.typed(x, U8)
    if bits.row_major and not x.row_major:
        x = context.layouts.plain(bottom.shape)
        context.writes(top, x)
    work.flops = 2 * elements(top.shape)
    work.forwards = [Draw(context, layer, mask, bits), masked(context, (bottom, top, "data", x), mask, bits, layer)]
    if backward_wanted:
        work.backwards = [masked(context, (top, bottom, "diff", x), mask, bits, layer)]
    return work


def masked(
    context: Context, values: tuple[Blob, Blob, str, Layout], mask: Blob, bits: Layout, layer: Any
) -> Primitive:
    """target = factor · mask · source; values: source, target, which part of them, their layout."""
    source, target, part, x = values

    def scale(library: Any, chain: int) -> None:
        library.call("post_ops_append_eltwise", chain, n.LINEAR, layer.factor, 0.0)

    behind = scale if layer.factor != 1 else None
    seen = x, bits
    desc = Descriptor(context, "binary", n.MULTIPLY, x.desc, bits.desc, x.desc, post_ops=behind)
    if desc.slow:  # its kernels do not know all layouts: as one row of values, with those that only pad
        seen = x.row(), bits.row()
        desc = Descriptor(context, "binary", n.MULTIPLY, seen[0].desc, seen[1].desc, seen[0].desc, post_ops=behind)
    values_seen, bits_seen = seen
    arguments = [
        Read(n.SRC, source, part, values_seen, x.representation),
        Read(n.SRC_1, mask, "data", bits_seen, bits),
        Write(n.DST, target, part, values_seen, x.representation),
    ]
    return Primitive(desc.fast(), arguments)


class Skip:
    """Counts a draw that nobody looks at."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer

    def run(self) -> None:
        self._layer.stream.take()

    def uses(self) -> Sequence[Use]:
        return ()


class Draw:
    """The mask of one pass: word i of the draw, which belongs to value i in plain order, is at least the threshold."""

    def __init__(self, context: Context, layer: Any, mask: Blob, layout: Layout) -> None:
        self._context, self._layer, self._mask, self._layout = context, layer, mask, layout
        self._plain = context.layouts.plain(mask.shape, U8)
        if layout is not self._plain:
            context.masks.need(mask.count)

    def run(self) -> None:
        array = self._mask.data.claim(self._layout)
        if self._layout is self._plain:
            self._fill(array)
            return
        drawn = self._context.masks.array()[: self._mask.count]
        self._fill(drawn)
        self._context.layouts.reorder(self._plain, drawn, self._layout, array)

    def _fill(self, target: np.ndarray) -> None:
        layer, kept = self._layer, target.view(bool)
        for part, drawn in words(layer.stream.key, layer.stream.take(), self._mask.count):
            np.greater_equal(drawn, layer.threshold, out=kept[part])

    def uses(self) -> Sequence[Use]:
        return (Use(self._mask.data, self._layout, Access.WRITE),)
