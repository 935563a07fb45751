"""What this machine reaches: measured once, so that a step's own speed can be held against it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from layerforge.core import threads
from layerforge.core.errors import DeviceError
from layerforge.engines.lowering import Speeds
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.layout import BF16, F32, Layout, LayoutFactory
from layerforge.engines.onednn.library import Library, check_type
from layerforge.engines.onednn.primitive import Context, Descriptor, Fixed, Primitive

SECONDS = 0.15  # for each figure
SIDE = 1536  # of the matrices that are multiplied: 9 MiB each
COPIED = 64 << 20  # bytes, more than caches hold


def speeds(library: Library) -> Speeds:
    """The speeds with as many threads as work now."""
    return _measured(library, threads.count())


@functools.cache
def _measured(library: Library, workers: int) -> Speeds:
    context = Context(library, LayoutFactory(library))
    flops = {"FP32": _product(context, F32)}
    try:
        check_type("BF16")
        flops["BF16"] = _product(context, BF16)
    except DeviceError:
        pass
    return Speeds(flops, _copy(context))


def _product(context: Context, kind: int) -> float:
    """Operations per second of a product of two large matrices."""
    layouts = context.layouts
    plain = layouts.plain((SIDE, SIDE), kind)
    desc = Descriptor(context, "matmul", plain.desc, layouts.any((SIDE, SIDE), kind), None, plain.desc)
    arguments = [_argument(index, desc.layout(index)) for index in (n.SRC, n.WEIGHTS, n.DST)]
    return 2 * SIDE**3 / _least(Primitive(desc, arguments).run)


def _copy(context: Context) -> float:
    """Bytes read and written per second, of values that lie in memory."""
    layout = context.layouts.plain((COPIED // 4,), F32)
    desc = Descriptor(context, "eltwise_forward", n.INFERENCE, n.LINEAR, layout.desc, layout.desc, 2.0, 0.0)
    return 2 * COPIED / _least(Primitive(desc, [_argument(index, layout) for index in (n.SRC, n.DST)]).run)


def _argument(index: int, layout: Layout) -> Fixed:
    made = Fixed(index, layout)
    made.array.view(layout.dtype).fill(1)  # also takes the memory
    return made


def _least(run: Callable[[], None]) -> float:
    """Seconds of the fastest of many runs."""
    run()
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best
