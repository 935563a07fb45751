"""Several values into one: Concat, Eltwise SUM with the ReLU behind it, and the gradients of Split."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_float, c_void_p
from typing import Any

from layerforge.core.blob import Blob
from layerforge.core.use import Access
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.layout import F32, Layout
from layerforge.engines.onednn.library import OneDnnError, dims
from layerforge.engines.onednn.pointwise import linear
from layerforge.engines.onednn.primitive import Argument, Context, Descriptor, Primitive, Read, Write
from layerforge.engines.onednn.step import relu, relu_after
from layerforge.engines.onednn.weighted import relu_backward
from layerforge.engines.rules import check_sum
from layerforge.engines.step import Refused, Work, elements


def total(
    context: Context, sources: Sequence[Blob], part: str, target: Blob, layout: Layout, factors: Sequence[float]
) -> Primitive:
    """target = Σ factor · source, all in one layout."""
    count = len(sources)
    descs = (c_void_p * count)(*[layout.desc] * count)
    desc = Descriptor(context, "sum", layout.desc, count, (c_float * count)(*factors), descs).fast()
    arguments: list[Argument] = [Read(n.MULTIPLE_SRC + i, blob, part, layout) for i, blob in enumerate(sources)]
    return Primitive(desc, [*arguments, Write(n.DST, target, part, layout)])


def eltwise(context: Context, steps: Sequence[Any]) -> Work:
    """y = Σ coeff_k · x_k; steps: the sum, and the ReLU behind it if there is a second one."""
    step, layer = steps[0], steps[0].layer
    slope = steps[1].layer.slope if len(steps) > 1 else None
    bottoms, top = [view.blob for view in step.bottoms], step.tops[0].blob
    check_sum(layer, bottoms, top)
    layout = _common(context, bottoms)
    work = Work()
    work.flops = elements(top.shape) * len(bottoms)
    plain_pair = len(bottoms) == 2 and tuple(layer.coeff) == (1.0, 1.0)
    if plain_pair:
        work.forwards = [_added(context, bottoms, top, layout, slope)]
    else:
        work.forwards = [total(context, bottoms, "data", top, layout, layer.coeff)]
    if slope is not None and not plain_pair:
        algorithm, *numbers = relu(slope)
        desc = Descriptor(context, "eltwise_forward", n.INFERENCE, algorithm, layout.desc, layout.desc, *numbers).fast()
        work.forwards.append(Primitive(desc, [Read(n.SRC, top, "data", layout), Write(n.DST, top, "data", layout)]))
    context.writes(top, layout)
    if step.needed:
        if slope is not None:
            work.backwards.append(relu_backward(context, top, layout, slope))
        wanted = [(blob, c) for blob, c, down in zip(bottoms, layer.coeff, step.propagate_down) if down]
        work.backwards += [linear(context, top, blob, "diff", layout, c) for blob, c in wanted]
    return work


def _added(
    context: Context, bottoms: Sequence[Blob], top: Blob, layout: Layout, slope: float | None, part: str = "data"
) -> Primitive:
    """y = x_0 + x_1, with the ReLU in the same pass over memory."""
    behind = relu_after(slope) if slope is not None else None
    desc = Descriptor(context, "binary", n.ADD, layout.desc, layout.desc, layout.desc, post_ops=behind).fast()
    first, second = bottoms
    arguments = [Read(n.SRC, first, part, layout), Read(n.SRC_1, second, part, layout)]
    return Primitive(desc, [*arguments, Write(n.DST, top, part, layout)])


def _common(context: Context, blobs: Sequence[Blob]) -> Layout:
    """The layout of most of the bottoms."""
    layouts = [context.layout_of(blob) for blob in blobs]
    return max(layouts, key=lambda layout: (layouts.count(layout), not layout.is_plain))


def concat(context: Context, steps: Sequence[Any]) -> Work:
    """y = x_0 ⧺ x_1 ⧺ …; backward copies the parts."""
    step, layer = steps[0], steps[0].layer
    bottoms, top = [view.blob for view in step.bottoms], step.tops[0].blob
    if not 1 <= len(top.shape) <= 6:
        raise Refused(f"{len(top.shape)} axes")
    given = [context.layout_of(blob) for blob in bottoms]
    layouts = context.layouts
    placed = [context.places.get(blob.data) for blob in bottoms]
    if any(place is not None and place.taken for place in placed):
        return _placed(context, bottoms, top, given, placed)
    most = max(given, key=lambda layout: given.count(layout) if layout.is_plain else len(given))
    wishes = [given]
    if len(top.shape) > 2:
        wishes += [
            [layouts.like(most, blob.shape) for blob in bottoms],
            [layouts.channels_last(blob.shape) for blob in bottoms],
        ]
    for wish in wishes:
        try:
            return _concat(context, step, bottoms, top, layer.along, wish)
        except (Refused, OneDnnError):  # blocks that are not filled, or parts that lie in several layouts
            continue
    return _concat(context, step, bottoms, top, layer.along, [layouts.plain(blob.shape) for blob in bottoms])


def _placed(
    context: Context, bottoms: Sequence[Blob], top: Blob, given: Sequence[Layout], placed: Sequence[Any]
) -> Work:
    """Where some have written their slices already: copies of the others."""
    y, start, work = context.layouts.channels_last(top.shape, F32), 0, Work()
    for blob, layout, place in zip(bottoms, given, placed):
        if place is None or not place.taken:
            offsets = [0, start, *[0] * (len(top.shape) - 2)]
            inside = context.layouts.own(
                context.library.make("memory_desc_create_submemory", y.desc, dims(blob.shape), dims(offsets))
            )
            desc = Descriptor(context, "reorder", inside, context.library.engine, first=layout.desc)
            arguments = [Read(n.SRC, blob, "data", layout), Slice(n.DST, top, "data", y, inside)]
            work.forwards.append(Primitive(desc, arguments))
        start += blob.shape[1]
    work.elsewhere = True
    context.writes(top, y)
    return work


def _concat(
    context: Context, step: Any, bottoms: Sequence[Blob], top: Blob, axis: int, given: Sequence[Layout]
) -> Work:
    count, library, layouts = len(bottoms), context.library, context.layouts
    descs = (c_void_p * count)(*[layout.desc for layout in given])
    desc = Descriptor(context, "concat", layouts.any(top.shape), count, axis, descs).fast()
    y = desc.layout(n.DST)
    if y.channel_block != given[0].channel_block and axis == 1:
        raise Refused("another layout than the bottoms have")
    arguments: list[Argument] = [
        Read(n.MULTIPLE_SRC + i, blob, "data", layout) for i, (blob, layout) in enumerate(zip(bottoms, given))
    ]
    work = Work()
    work.forwards = [Primitive(desc, [*arguments, Write(n.DST, top, "data", y)])]
    context.writes(top, y)
    start = 0
    for blob, layout, down in zip(bottoms, given, step.propagate_down):
        if down and step.needed:
            offsets = [0] * len(top.shape)
            offsets[axis] = start
            inside = layouts.own(
                library.make("memory_desc_create_submemory", y.desc, dims(blob.shape), dims(offsets))
            )
            work.backwards.append(_copy(context, (top, "diff", y), inside, blob, layout))
        start += blob.shape[axis]
    return work


def _copy(
    context: Context, source: tuple[Blob, str, Layout], inside: int, target: Blob, layout: Layout
) -> Primitive:
    """target = the part of the source (a blob, its data or diff, the layout) that the descriptor `inside` speaks of."""
    blob, part, whole = source
    desc = Descriptor(context, "reorder", layout.desc, context.library.engine, first=inside)
    return Primitive(desc, [Part(n.SRC, blob, part, whole, inside), Write(n.DST, target, part, layout)])


class _Inside(Argument):
    """By a descriptor with an offset."""

    __slots__ = ("inside",)

    def __init__(self, index: int, blob: Blob, part: str, layout: Layout, inside: int) -> None:
        super().__init__(index, blob, part, layout)
        self.inside = inside

    def attach(self, library: Any) -> None:
        self.memory = library.make("memory_create", self.inside, library.engine, None)
        self._set = library.function("memory_set_data_handle")


class Part(_Inside, Read):
    """A part of a value is read."""

    __slots__ = ()


class Slice(_Inside, Write):
    """A part of a value is overwritten, the rest stays."""

    __slots__ = ()
    access = Access.UPDATE


def split(context: Context, steps: Sequence[Any]) -> Work:
    """dx = Σ dy_i; forward has nothing to do: the tops are the bottom's own memory."""
    step = steps[0]
    bottom, tops = step.bottoms[0].blob, [view.blob for view in step.tops]
    if not step.needed or not step.propagate_down[0]:
        return Work()
    if any(blob.diff is bottom.diff for blob in tops):
        raise Refused("a top has the bottom's gradient")
    work = Work()
    layout = context.layout_of(bottom)
    if len(tops) == 1:
        work.backwards = [linear(context, tops[0], bottom, "diff", layout, 1.0)]
        return work
    try:
        work.backwards = [total(context, tops, "diff", bottom, layout, [1.0] * len(tops))]
    except Refused:  # its kernels want filled blocks
        work.backwards = [_added(context, tops[:2], bottom, layout, None, "diff")]
        work.backwards += [_added(context, (bottom, each), bottom, layout, None, "diff") for each in tops[2:]]
    return work


def view(context: Context, steps: Sequence[Any]) -> Work:
    """Another shape of the bottom's own memory: nothing to do. Readers find the layout that it was written in."""
    if not steps[0].layer.shares_data:
        raise Refused("pixels are shuffled")
    return Work()


def slices(context: Context, steps: Sequence[Any]) -> Work:
    """y_i = a part of x; backward joins the parts."""
    step = steps[0]
    bottom = step.bottoms[0].blob
    if not 1 <= len(bottom.shape) <= 6:
        raise Refused(f"{len(bottom.shape)} axes")
    x = context.layout_of(bottom)
    wishes = [x, context.layouts.plain(bottom.shape, x.type)]
    for wish in wishes[: 1 if x.row_major else 2]:
        try:
            return _slices(context, step, bottom, wish)
        except (Refused, OneDnnError) as error:  # parts that begin within a block
            reason = error
    raise Refused(str(reason))


def _slices(context: Context, step: Any, bottom: Blob, x: Layout) -> Work:
    layouts, tops = context.layouts, [view.blob for view in step.tops]
    axis, start, work, found = len(step.layer.parts[0]) - 1, 0, Work(), []
    for top in tops:
        offsets = [0] * len(bottom.shape)
        offsets[axis] = start
        inside = layouts.own(
            context.library.make("memory_desc_create_submemory", x.desc, dims(top.shape), dims(offsets))
        )
        found.append(layouts.like(x, top.shape))
        work.forwards.append(_copy(context, (bottom, "data", x), inside, top, found[-1]))
        start += top.shape[axis]
    if step.needed and step.propagate_down[0]:
        descs = (c_void_p * len(tops))(*[layout.desc for layout in found])
        desc = Descriptor(context, "concat", x.desc, len(tops), axis, descs).fast()
        arguments: list[Argument] = [
            Read(n.MULTIPLE_SRC + i, top, "diff", layout) for i, (top, layout) in enumerate(zip(tops, found))
        ]
        work.backwards = [Primitive(desc, [*arguments, Write(n.DST, bottom, "diff", x)])]
    for top, layout in zip(tops, found):
        context.writes(top, layout)
    return work
