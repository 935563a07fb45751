"""Convolution with windows of 3 × 3 or 5 × 5 for inference, by Winograd's way of needing fewer products.

    y = Aᵀ [ Σ_c (G w Gᵀ) ⊙ (Bᵀ d B) ] A      for tiles d of 6 × 6 values, which give 4 × 4 of y, or 2 × 2

They are 36 products of matrices (tiles, C) · (C, O): 36 · C multiplications a tile where the direct way needs 144 · C,
or 100 · C.
The points are 0, ±1, ±2 and infinity: rounding errors are some 4 times those of the direct way, 1 to 4 millionths of
the output. What is not finite spreads over its tile. G w Gᵀ takes four times the room of w for windows of 3 × 3; for
few tiles, where reading it would take longer than the products, half of that is kept, of which the products' loop makes
the rest; for four tiles a quarter, as many numbers as w has.

Source: A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, 2015.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.core import threads
from layerforge.core.blob import Blob
from layerforge.core.storage import HOST
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.compiled import Code, compiler
from layerforge.engines.onednn.layout import F32, aligned_zeros
from layerforge.engines.onednn.own_convolution import OwnConvolution, Slots, counted
from layerforge.engines.onednn.places import Target
from layerforge.engines.onednn.primitive import Context
from layerforge.engines.step import Bound, Work

VARIABLE = "LAYERFORGE_WINOGRAD"  # 0: no convolution goes this way
TILE, SIZES = 6, {3: 4, 5: 2}  # of values read; of weights: of values made
WIDTH, MATRICES = 16, TILE * TILE
SPARED, PLAIN = 18, 9  # of the matrices of weights of 3 × 3, how many are kept
HEIGHTS = 8, 7  # tiles of which products keep their sums in registers; with 16 registers of 8 numbers LOW and a vector
LOW = 6
TOGETHER = 96  # tiles at once: their matrices stay in the cache
FEW = 48  # tiles from which on products, not weights from memory, take the time; with 32 registers of 16
UNROLLED, LINE = 4, 16
LEAST_TILES, LEAST_CHANNELS = 8, {3: 32, 5: 16}  # with fewer, reading the larger weights costs what products save
FOUR = 4  # tiles, one picture of up to 8 × 8: weights are as small as the direct way's; 3 × 3, 32 registers of 16
KEPT = np.array([[1, 0, 1], [0.5, 0, 2], [0, 1, 0]])
G = {
    3: np.array([[-2, 1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1], [0, 1, -1], [1, -2, 0]]) @ KEPT,
    5: np.array([[-1.5, 0, 0, 0, 0], [1, 1, 1, 1, 1], [1, -1, 1, -1, 1], [0.5, 1, 2, 4, 8], [0.5, -1, 2, -4, 8],
                 [0, 0, 0, 0, -3]]),
}
"""For each size of weights, but for factors -1/6, -1/6, -1/6, 1/12, 1/12, -1/3 of its rows, which Aᵀ has."""
POINTERS = 10
X, OUTSIDE, WEIGHTS, BIAS, Y, ROOM, OTHER, OWN, NEXT, BEHIND = range(21, 21 + POINTERS)  # slots of the loop


def tiles(shape: Sequence[int], size: int) -> tuple[int, int, int]:
    """Samples, rows and columns of tiles of size × size that make values (N, O, H, W)."""
    return shape[0], -(-shape[2] // size), -(-shape[3] // size)


def pays(context: Context, step: Any, shape: Any) -> bool:
    """Whether this convolution can go this way, and gains by it."""
    window, outputs, channels, found = step.layer.window, shape.y[1], shape.x[1], compiler()
    return (
        not step.needed
        and not shape.transposed
        and len(set(window.kernel)) == 1
        and window.kernel[0] in SIZES
        and set(window.stride) == set(window.dilation) == {1}
        and len(shape.w) == 4
        and channels % WIDTH == outputs % WIDTH == 0
        and min(channels, outputs) >= LEAST_CHANNELS[window.kernel[0]]
        and context.layouts.values == F32
        and os.environ.get(VARIABLE) != "0"
        and found is not None
        and (
            (count := math.prod(tiles(shape.y, SIZES[window.kernel[0]]))) >= LEAST_TILES
            or (count == FOUR and window.kernel[0] == 3 and found.wide)
        )
    )


@functools.cache
def _code(rows: int, vectors: int, kept: int, size: int) -> Code:
    """The address of the loop, compiled once."""
    from layerforge.engines.onednn.winograd_few import few  # needs llvmlite
    from layerforge.engines.onednn.winograd_loops import winograd

    found, name = compiler(), f"winograd_{rows}_{vectors}_{kept}_{size}"
    assert found is not None
    if kept == PLAIN:
        return found.compile(few(name, rows))
    return found.compile(winograd(name, (rows, vectors, UNROLLED), kept == SPARED, size))


def tile(count: int, outputs: int, wide: bool) -> tuple[int, int]:
    """Tiles and vectors of outputs whose products stay in registers, so that little of the work is on what is not
    there."""
    vectors = -(-outputs // WIDTH)
    if not wide:
        return LOW, 1
    if count == FOUR:
        return FOUR, 1
    return min(HEIGHTS, key=lambda high: -(-count // high) * high), 3 if vectors % 2 and vectors % 3 == 0 else 2


def kept(count: int, kernel: int, wide: bool) -> int:
    """How many of the matrices of weights are kept, of which the loop makes the others."""
    if not wide or kernel != 3 or count >= FEW:
        return MATRICES
    return PLAIN if count == FOUR else SPARED


def cells(lines: int, line: int, channels: int, panel: int, panels: int, threads: int) -> tuple[int, int]:
    """Into how many pieces tiles and panels are cut for the threads, so that the longest takes least: what it computes,
    in cycles, and reads.

    line, panel  tiles of a line, vectors of a panel
    """

    def cycles(pieces: int) -> float:
        mine, wide = -(-lines // pieces) * line, -(-panels // (threads // pieces)) * panel
        products, transformed = MATRICES / 2 * wide * channels, 70 * channels / WIDTH
        return mine * (products + transformed) + MATRICES * 2 * wide * channels

    best = min((pieces for pieces in range(1, threads + 1) if threads % pieces == 0), key=cycles)
    return best, threads // best


class Winograd(OwnConvolution):
    """y = max(w ⋆ x + b + other?, 0)?"""

    name, at = "winograd_convolution", Slots(X, Y, OTHER, NEXT, BEHIND)

    def __init__(
        self, context: Context, shape: Any, window: Any, bottom: Blob, target: Target,
        parameters: tuple[Blob, Blob | None], relu: bool, added: Blob | None,
    ) -> None:
        super().__init__(context, shape, bottom, target, added)
        self._context = context
        kernel, channels, outputs = window.kernel[0], shape.x[1], shape.y[1]
        grid = tiles(shape.y, SIZES[kernel])
        count, team, wide = math.prod(grid), context.layouts.running.threads, self._compiler.wide
        (rows, vectors), matrices = tile(count, outputs, wide), kept(count, kernel, wide)
        self._code = _code(rows, vectors, matrices, SIZES[kernel])
        self.weights: Weights = context.once(
            (Weights, *parameters, vectors, matrices),
            lambda: Weights(context, parameters, shape.w, vectors, matrices),
        )
        self.arguments = [self.weights.argument]
        panels, lines = self.weights.panels, -(-count // rows)
        cut = (1, team) if matrices == PLAIN else cells(lines, rows, channels, vectors, panels, team)
        mine = -(-lines // cut[0]) * rows
        together = -(-mine // (-(-mine // TOGETHER) * rows)) * rows
        across = vectors * WIDTH * (-(-panels // cut[1]) if matrices == MATRICES else 1)
        apart = [together * size + LINE for size in (channels, across)]  # by a line, for addresses that are not alike
        own = MATRICES * sum(apart)
        context.tiles.need(4 * math.prod(cut) * own)
        numbers = (
            count, *grid[1:], together, *shape.x[2:], *shape.y[2:], *window.pad, channels, outputs, target.pitch,
            *(panels, *cut, *apart, own, int(relu), int(added is not None)),
        )
        self._slots = np.zeros(len(numbers) + POINTERS, np.int64)
        self._slots[: len(numbers)] = numbers
        self._outside, self._spill = aligned_zeros(4 * channels), aligned_zeros(4 * WIDTH)  # read; written
        arrays = self._outside, self.weights.array, self.weights.bias, self._spill
        self._slots[[OUTSIDE, WEIGHTS, BIAS, ROOM]] = [array.ctypes.data for array in arrays]
        self._room: np.ndarray | None = None
        self.take_turn(context)

    def run(self) -> None:
        room = self._context.tiles.array()
        if self._room is not room:
            self._room, self._slots[OWN] = room, room.ctypes.data
        super().run()

    def bound(self) -> Bound:
        return self._compiler.bound(self._code, self._slots, self, self._room)


class Weights:
    """G w Gᵀ in panels (panel, 36, input channel, output channel of the panel), and the bias: made anew after each
    change of w or b. Output channels that are not there are zeros.

    kept      18: three numbers that make a row of G w Gᵀ in its place; 9: those that make all of it, (panel, input
              channel, 9, output channel of the panel)
    panels    how many
    argument  the array, for what counts memory
    """

    def __init__(
        self, context: Context, parameters: tuple[Blob, Blob | None], shape: Sequence[int], vectors: int, kept: int
    ) -> None:
        (self._w, self._b), (outputs, channels, kernel, _) = parameters, shape
        self._made = np.kron(KEPT if kept == PLAIN else G[kernel], G[kernel] if kept == MATRICES else KEPT)
        self._order = (2, 0, 1) if kept == PLAIN else (0, 2, 1)  # of (matrix, output channel, input channel)
        self.panels = -(-outputs // (vectors * WIDTH))
        self._shape = self.panels, *((channels, kept) if kept == PLAIN else (kept, channels)), vectors * WIDTH
        self._channels = channels
        self.array, self.bias = aligned_zeros(4 * math.prod(self._shape)), aligned_zeros(4 * outputs)
        self.argument = counted(n.WEIGHTS, context.layouts.plain(self._shape, F32), self.array)
        self._seen: Any = None

    def take(self) -> None:
        """Before each run."""
        if self._now() == self._seen:
            return
        w = self._w.data.glance().reshape(-1, self._channels, self._made.shape[1])
        into, wide = self.array.reshape(self._shape), self._shape[-1]

        def transform(part: slice) -> None:
            for panel in range(part.start, part.stop):
                some = w[panel * wide : (panel + 1) * wide]
                into[panel, :, :, : len(some)] = np.tensordot(self._made, some, (1, 2)).transpose(self._order)

        threads.share(transform, self.panels, 1)
        if self._b:
            self.bias[:] = self._b.data.array(HOST)
        self._seen = self._now()  # reading may fill the first time

    def _now(self) -> tuple[Any, ...]:
        return tuple((id(blob.data), blob.data.version) for blob in (self._w, self._b) if blob)


def convolution(
    context: Context, step: Any, shape: Any, bottom: Blob, target: Target, parameters: tuple[Blob, Blob | None],
    relu: bool, added: Blob | None,
) -> Work:
    """What runs in place of a direct convolution."""
    work = Work()
    work.flops = 2 * shape.multiplications  # of the direct way
    work.forwards = [Winograd(context, shape, step.layer.window, bottom, target, parameters, relu, added)]
    return target.made_by(context, work)
