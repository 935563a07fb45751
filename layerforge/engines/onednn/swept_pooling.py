"""Pooling of maxima for inference, with LRN across channels before or behind it, in one sweep over memory.

    y = x · (k + alpha/n Σ x²)^-3/4      before or behind the largest of each window

All of these wait for memory alone: what lies between is neither written there nor read, and a first convolution's
blocks of channels become channels last, as all behind it want them, without a copy.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.use import Access, Use
from layerforge.engines.onednn.compiled import Code, compiler
from layerforge.engines.onednn.layout import F32, Layout, aligned_zeros
from layerforge.engines.onednn.primitive import Context
from layerforge.engines.step import Bound, Refused, Work, elements

WIDTH, LARGEST, LONGEST = 16, 3, 15  # of a vector; of windows; of sums over channels


@functools.cache
def _code(name: str, size: int, length: int) -> Code:
    """The loop, compiled once."""
    from layerforge.engines.onednn import pooling_loops as loops  # needs llvmlite

    found = compiler()
    assert found is not None
    return found.compile(getattr(loops, name)(f"{name}_{size}_{length}", size, length))


class SweptPooling:
    """y = the largest of each window; of x after LRN, or LRN of that.

    y  channels last
    """

    arguments = ()

    def __init__(self, context: Context, ends: tuple[Blob, Blob], x: Layout, pool: Any, lrn: Any, first: bool) -> None:
        """first: LRN comes before the pooling."""
        (self._bottom, self._top), layouts, window = ends, context.layouts, pool.window
        self.x, self.y = x, layouts.channels_last(self._top.shape, F32)
        self.layouts = (("x", self.x.name), ("y", self.y.name))
        found, p = compiler(), lrn.params if lrn else None
        assert found is not None
        self.name = "normalised_then_pooled" if first else "pooled"
        size = window.kernel[0]
        self._compiler, self.impl = found, found.impl
        self._code = _code(self.name, size, p.local_size if p else 0)
        samples, channels, rows, columns = self._bottom.shape
        vectors = channels // WIDTH
        steps = (1, rows * columns) if x.channel_block == WIDTH else (vectors, 1)
        each = 4 * WIDTH * vectors * (1 + (size * columns if first else 1)) + 3 * 4 * WIDTH
        self._rooms = aligned_zeros(each * layouts.running.threads)
        self._numbers = np.array([p.alpha / p.local_size, p.k] if p else [0, 1], np.float32)
        numbers = samples, rows, columns, vectors, *steps, *self._top.shape[2:], *window.stride, *window.pad, each
        self._slots = np.array([*numbers, 0, 0, self._rooms.ctypes.data, self._numbers.ctypes.data], np.int64)

    def run(self) -> None:
        self._slots[-4] = self._bottom.data.array(self.x.representation).ctypes.data
        self._slots[-3] = self._top.data.claim(self.y.representation).ctypes.data
        self._compiler.run(self._code, self._slots)

    def bound(self) -> Bound:
        return self._compiler.bound(self._code, self._slots, self)

    def uses(self) -> Sequence[Use]:
        return [
            Use(self._bottom.data, self.x.representation, Access.READ),
            Use(self._top.data, self.y.representation, Access.WRITE),
        ]

    def primitives(self) -> list[Any]:
        return [self]


def swept_pooling(context: Context, steps: Sequence[Any]) -> Work:
    """steps: a Pooling, and perhaps an LRN behind or before it. Raises Refused where the loops have no such form, and
    for a pooling alone where oneDNN's kernel needs no copy behind it."""
    bottom, top = steps[0].bottoms[0].blob, steps[-1].tops[0].blob
    by_type = {step.layer.type: step.layer for step in steps}
    lrn, pool = by_type.get("LRN"), by_type["Pooling"]
    found, window = compiler(), pool.window
    if found is None or not found.wide or steps[0].needed or context.layouts.values != F32 or len(bottom.shape) != 4:
        raise Refused("sweeps are for inference in float32 with AVX-512")
    if lrn and not _common(lrn):
        raise Refused("an LRN that the sweep does not have")
    if pool.method != "MAX" or len(steps[-1].tops) > 1 or len(set(window.kernel)) > 1 or window.kernel[0] > LARGEST:
        raise Refused("a pooling that the sweep does not have")
    x = context.layout_of(bottom)
    last = x is context.layouts.channels_last(bottom.shape, F32)
    if bottom.shape[1] % WIDTH or not (x.channel_block == WIDTH or (last and lrn)):
        raise Refused("a layout that the sweep does not have, or gains nothing by")
    work, lrn_first = Work(), steps[0].layer is lrn
    work.flops = elements(top.shape) * elements(window.kernel)
    work.flops += 3 * elements(bottom.shape if lrn_first else top.shape) if lrn else 0
    work.forwards = [made := SweptPooling(context, (bottom, top), x, pool, lrn, lrn_first)]
    context.writes(top, made.y)
    return work


def _common(lrn: Any) -> bool:
    """Whether an LRN has the exponent that nets have, and sums that the loop has."""
    p = lrn.params
    return lrn.across and p.beta == 0.75 and p.k > 0 and p.alpha >= 0 and p.local_size <= LONGEST
