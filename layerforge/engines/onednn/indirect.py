"""Convolution for inference that reads its inputs through pointers, in place of a kernel of oneDNN's.

    y = max(w ⋆ x + b + other?, 0)?

A convolution of 1 × 1 is a product of matrices; any other is the same product with rows of x that the window's taps
choose: a table says where each lies. What the next layer's weights are is known, so that they are fetched from memory
while this one computes: a net of large weights and few samples waits for little else.

Source: M. Dukhan, The Indirect Convolution Algorithm, 2019.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.storage import HOST
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.compiled import compiler
from layerforge.engines.onednn.layout import F32, aligned_zeros
from layerforge.engines.onednn.own_convolution import OwnConvolution, Slots, counted
from layerforge.engines.onednn.places import Target
from layerforge.engines.onednn.primitive import Context
from layerforge.engines.step import Work, elements

VARIABLE = "LAYERFORGE_INDIRECT"  # 0: no convolution goes this way
WIDTH, HALF, UNROLLED = 16, 8, 4
HEIGHTS = 7, 8  # of a tile: rows that fit the registers; the first where both waste as little
MOST_ROWS = 2**21  # of all taps, in a table
CACHE = 256 * 1024  # bytes of weights, or of rows, that a core keeps near
POINTERS = 9
X, TABLE, ZEROS, WEIGHTS, BIAS, Y, OTHER, NEXT, BEHIND = range(11, 11 + POINTERS)  # slots of the loop
EVEN = 1.06  # the busiest thread's work over the mean


def pays(context: Context, step: Any, shape: Any) -> bool:
    """Whether this convolution can go this way, and gains by it."""
    channels, outputs = shape.x[1], shape.y[1]
    found = compiler()
    return (
        not step.needed
        and not shape.transposed
        and len(shape.w) == len(shape.x) == 4
        and channels % UNROLLED == outputs % HALF == 0
        and elements(shape.y[2:]) * elements(shape.w[2:]) <= MOST_ROWS
        and elements(shape.x[1:]) < 2**31
        and context.layouts.values == F32
        and os.environ.get(VARIABLE) != "0"
        and found is not None
        and found.wide
    )


@functools.cache
def _code(rows: int, vectors: int, dense: bool) -> int:
    """The address of the loop, compiled once."""
    from layerforge.engines.onednn.indirect_loops import indirect  # needs llvmlite

    found = compiler()
    assert found is not None
    return found.compile(indirect(f"indirect_{rows}_{vectors}_{dense:d}", rows, vectors, UNROLLED, dense))


def tile(rows: int, outputs: int) -> tuple[int, int]:
    """Rows and vectors of a tile, so that little of the work is on what is not there."""
    vectors = -(-outputs // WIDTH)
    wide = 1 if vectors == 1 else 3 if vectors % 2 and vectors % 3 == 0 else 2
    return min(HEIGHTS, key=lambda high: -(-rows // high) * high), wide


def block(tiles: int, panels: int, most: int, threads: int) -> int:
    """How many tiles take their turn with a panel of weights: at most so many, and so that all threads have as much."""
    blocks = -(-tiles // max(1, most))
    while blocks < tiles:
        size = -(-tiles // blocks)
        share = -(-(-(-tiles // size) * panels) // threads) * size
        if share * threads <= EVEN * tiles * panels:
            break
        blocks += 1
    return -(-tiles // blocks)


class Indirect(OwnConvolution):
    """y = max(w ⋆ x + b + other?, 0)?"""

    name, at = "indirect_convolution", Slots(X, Y, OTHER, NEXT, BEHIND)

    def __init__(
        self, context: Context, shape: Any, window: Any, bottom: Blob, target: Target,
        parameters: tuple[Blob, Blob | None], relu: bool, added: Blob | None,
    ) -> None:
        super().__init__(context, shape, bottom, target, added)
        layouts = context.layouts
        samples, channels, outputs = shape.x[0], shape.x[1], shape.y[1]
        taps, inside = math.prod(window.kernel), math.prod(shape.y[2:])
        dense = taps == 1 and set(window.stride) == {1} and not any((*window.pad, *window.pad_end))
        if dense:
            samples, inside = 1, samples * inside
        rows, vectors = tile(inside, outputs)
        self._code = _code(rows, vectors, dense)
        self.weights: Weights = context.once(
            (Weights, *parameters, vectors), lambda: Weights(context, parameters, shape.w, vectors)
        )
        self.arguments = [self.weights.argument]
        self._zeros, places = aligned_zeros(4 * channels), 0
        if not dense:
            self._table = table(shape, window, rows)
            self.arguments.append(counted(0, layouts.plain(self._table.shape, F32), self._table))
            places = self._table.ctypes.data
        near = 2 * CACHE // channels  # of a core's own cache, rows of x; or of all that is read and written
        if self.weights.array.nbytes <= CACHE:
            near = CACHE // 2 // (channels + outputs * (1 if added is None else 2))
        tiles, panels = samples * -(-inside // rows), self.weights.panels
        size = block(tiles, panels, near // (4 * rows), layouts.running.threads)
        numbers = (
            *(samples, inside, panels, outputs, taps, channels, elements(shape.x[1:]), target.pitch, size),
            *(int(relu), int(added is not None)),
        )
        self._slots = np.zeros(len(numbers) + POINTERS, np.int64)
        self._slots[: len(numbers)] = numbers
        self._slots[[TABLE, ZEROS, WEIGHTS, BIAS]] = (
            places, self._zeros.ctypes.data, self.weights.array.ctypes.data, self.weights.bias.ctypes.data
        )
        self.take_turn(context)


def table(shape: Any, window: Any, rows: int) -> np.ndarray:
    """For each tile and tap of a sample, which numbers of x its rows begin at; -1 outside."""
    channels, sizes, outputs = shape.x[1], shape.x[2:], shape.y[2:]
    count = math.prod(outputs)
    places = np.unravel_index(np.minimum(np.arange(-(-count // rows) * rows), count - 1), outputs)
    taps = np.unravel_index(np.arange(math.prod(window.kernel)), tuple(window.kernel))
    offsets, inside = 0, True
    for axis, size in enumerate(sizes):
        at = places[axis][:, None] * window.stride[axis] - window.pad[axis] + taps[axis] * window.dilation[axis]
        inside = inside & (at >= 0) & (at < size)
        offsets = offsets * size + at
    found = np.where(inside, offsets * channels, -1).astype(np.int32)
    return np.ascontiguousarray(found.reshape(-1, rows, found.shape[1]).swapaxes(1, 2))


class Weights:
    """w in panels (panel, tap, input channel, output channel of the panel), and the bias: made anew after each change
    of w or b. Output channels that are not there are zeros.

    panels    how many
    argument  the array, for what counts memory
    """

    def __init__(
        self, context: Context, parameters: tuple[Blob, Blob | None], shape: Sequence[int], vectors: int
    ) -> None:
        self._layouts, (self._w, self._b) = context.layouts, parameters
        outputs, channels, taps, wide = shape[0], shape[1], math.prod(shape[2:]), vectors * WIDTH
        self.panels = -(-outputs // wide)
        self._outputs = outputs
        self._shape = self.panels, wide, channels, taps
        self._from = context.layouts.plain(self._shape, F32)
        self._used = context.layouts.ordered(self._shape, [0, 3, 2, 1], F32)
        self.array, self.bias = aligned_zeros(self._used.nbytes), aligned_zeros(4 * wide * self.panels)
        self.argument = counted(n.WEIGHTS, self._used, self.array)
        self._seen: Any = None

    def take(self) -> None:
        """Before each run."""
        if self._now() == self._seen:
            return
        w = self._w.data.glance()
        if w.size < self._from.nbytes // 4:
            w = np.concatenate([w.ravel(), np.zeros(self._from.nbytes // 4 - w.size, np.float32)])
        self._layouts.reorder(self._from, w, self._used, self.array)
        if self._b:
            self.bias[: self._outputs] = self._b.data.array(HOST).ravel()
        self._seen = self._now()  # reading may fill the first time

    def _now(self) -> tuple[Any, ...]:
        return tuple((id(blob.data), blob.data.version) for blob in (self._w, self._b) if blob)


def convolution(
    context: Context, step: Any, shape: Any, bottom: Blob, target: Target, parameters: tuple[Blob, Blob | None],
    relu: bool, added: Blob | None,
) -> Work:
    """What runs in place of a kernel of oneDNN's."""
    work = Work()
    work.flops = 2 * shape.multiplications
    work.forwards = [Indirect(context, shape, step.layer.window, bottom, target, parameters, relu, added)]
    return target.made_by(context, work)
