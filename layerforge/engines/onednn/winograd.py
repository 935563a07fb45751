"""Convolution with windows of 3 × 3 for inference, by Winograd's way of needing fewer products.

    y = Aᵀ [ Σ_c (G w Gᵀ) ⊙ (Bᵀ d B) ] A      for tiles d of 6 × 6 values, which give 4 × 4 of y

They are 36 products of matrices (tiles, C) · (C, O): 36 · C multiplications a tile where the direct way needs 144 · C.
The points are 0, ±1, ±2 and infinity: rounding errors are some 4 times those of the direct way, 1 to 4 millionths of
the output. What is not finite spreads over its tile.

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
from layerforge.core.use import Access, Use
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.compiled import Code, compiler
from layerforge.engines.onednn.layout import F32, Layout, aligned_zeros
from layerforge.engines.onednn.places import Target
from layerforge.engines.onednn.primitive import Context, Descriptor, Fixed, Primitive
from layerforge.engines.step import Work

VARIABLE = "LAYERFORGE_WINOGRAD"  # 0: no convolution goes this way
KERNEL, TILE, SIZE = 3, 6, 4  # of weights, of values read, of values made
WIDTH, MATRICES, SLOTS = 16, TILE * TILE, 11
TOGETHER = 256  # tiles at once: their matrices stay in the cache
LEAST_TILES, LEAST_CHANNELS = 16, 32  # with fewer, reading the larger weights costs what products save
G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
PIECE = 1 << 12  # kernels that are transformed in float64 at once
_EMPTY = np.empty(0, np.float32)


def tiles(shape: Sequence[int]) -> tuple[int, int, int]:
    """Samples, rows and columns of tiles that make values (N, O, H, W)."""
    return shape[0], -(-shape[2] // SIZE), -(-shape[3] // SIZE)


def pays(context: Context, step: Any, shape: Any) -> bool:
    """Whether this convolution can go this way, and gains by it."""
    window, outputs, channels = step.layer.window, shape.y[1], shape.x[1]
    return (
        not step.needed
        and not shape.transposed
        and window.kernel == (KERNEL, KERNEL)
        and set(window.stride) == set(window.dilation) == {1}
        and len(shape.w) == 4
        and channels % WIDTH == outputs % WIDTH == 0
        and min(channels, outputs) >= LEAST_CHANNELS
        and math.prod(tiles(shape.y)) >= LEAST_TILES
        and context.layouts.values == F32
        and os.environ.get(VARIABLE) != "0"
        and compiler() is not None
    )


@functools.cache
def _code(name: str, *options: bool) -> Code:
    """A loop, compiled once."""
    from layerforge.engines.onednn import winograd_loops as loops  # needs llvmlite

    found = compiler()
    assert found is not None
    make = {"tiled": loops.tiled, "joined": loops.joined}[name]
    return found.compile(make("_".join(map(str, ("winograd", name, *options))), *options))


class Sweep:
    """A loop of this convolution, for `--explain`."""

    arguments = ()

    def __init__(self, name: str, impl: str, layout: Layout) -> None:
        self.name, self.impl, self.layouts = name, impl, (("x", layout.name),)

    def primitives(self) -> list[Any]:
        return [self]


class Winograd:
    """y = relu?(w ⋆ x + b + other?)

    x, y  channels last
    """

    def __init__(
        self, context: Context, shape: Any, window: Any, bottom: Blob, target: Target,
        parameters: tuple[Blob, Blob | None], relu: bool, added: Blob | None,
    ) -> None:
        self._context, self._bottom, self._target, self._added = context, bottom, target, added
        self.x, self.y = context.layouts.channels_last(shape.x, F32), target.layout
        channels, outputs = shape.x[1], shape.y[1]
        samples, rows, columns = tiles(shape.y)
        self._tiles = samples * rows * columns
        parts = -(-self._tiles // TOGETHER)
        self._together = together = -(-self._tiles // parts)
        self._product = _Product(context, together, channels, outputs, parameters)
        self._counts = MATRICES * together * channels, MATRICES * together * outputs
        context.tiles.need(4 * sum(self._counts))
        self._spare = aligned_zeros(4 * max(channels, outputs)), aligned_zeros(4 * outputs)  # outside; written there
        found = compiler()
        assert found is not None
        self._compiler = found
        self._tiled, self._joined = _code("tiled"), _code("joined", relu, added is not None)
        numbers = [0, 0, rows, columns]
        self._in, self._out = np.zeros(SLOTS + 3, np.int64), np.zeros(SLOTS + 5, np.int64)
        vectors = channels // WIDTH, outputs // WIDTH
        self._in[:SLOTS] = [*numbers, *shape.x[2:], *window.pad, vectors[0], together * vectors[0], channels]
        self._out[:SLOTS] = [*numbers, *shape.y[2:], 0, 0, vectors[1], together * vectors[1], target.pitch]
        self._in[-1] = self._spare[0].ctypes.data
        self._out[-3:-1] = self._spare[1].ctypes.data, self._product.weights.bias.ctypes.data
        self._room: np.ndarray | None = None

    def run(self) -> None:
        self._product.weights.take()
        self._take_room()
        self._in[SLOTS] = self._bottom.data.array(self.x.representation).ctypes.data
        if self._added is not None:
            self._out[-1] = self._added.data.array(self.y.representation).ctypes.data
        self._out[SLOTS] = self._target.claim()
        run, product = self._compiler.run, self._product.primitive
        for first in range(0, self._tiles, self._together):
            self._in[:2] = self._out[:2] = first, min(self._together, self._tiles - first)
            run(self._tiled, self._in)
            product.run()
            run(self._joined, self._out)

    def _take_room(self) -> None:
        room = self._context.tiles.array()
        if self._room is room:
            return
        self._room, values = room, room.view(np.float32)
        first, second = self._counts
        self._product.take(values[:first], values[first : first + second])
        self._in[SLOTS + 1], self._out[SLOTS + 1] = values.ctypes.data, values[first:].ctypes.data

    def uses(self) -> Sequence[Use]:
        read = [Use(self._bottom.data, self.x.representation, Access.READ)]
        if self._added is not None:
            read.append(Use(self._added.data, self.y.representation, Access.READ))
        return [*read, self._target.use()]

    def primitives(self) -> list[Any]:
        impl = self._compiler.impl
        return [Sweep("winograd_tiles", impl, self.x), self._product.primitive, Sweep("winograd_join", impl, self.y)]


class _Weights:
    """G w Gᵀ in the order of the products' kernel, and the bias: made anew after each change of w or b.

    used  that order
    """

    def __init__(
        self, context: Context, parameters: tuple[Blob, Blob | None], channels: int, outputs: int, used: Layout
    ) -> None:
        self._layouts, self._used = context.layouts, used
        self._w, self._b = parameters
        self._plain = context.layouts.exchanged((MATRICES, channels, outputs), 1, 2, F32)  # (36, O, C) in memory
        self.array, self.bias = aligned_zeros(used.nbytes), aligned_zeros(4 * outputs)
        self._seen: Any = None

    def take(self) -> None:
        """Before each run."""
        if self._now() == self._seen:
            return
        w = self._w.data.glance().reshape(-1, KERNEL * KERNEL)
        made, both = np.empty((MATRICES, len(w)), np.float32), np.kron(G, G)  # (36, O · C)

        def transform(part: slice) -> None:
            for first in range(part.start, part.stop, PIECE):
                some = slice(first, min(first + PIECE, part.stop))
                made[:, some] = both @ w[some].T

        threads.share(transform, len(w), PIECE)
        self._layouts.reorder(self._plain, made, self._used, self.array)
        if self._b:
            self.bias[:] = self._b.data.array(HOST)
        self._seen = self._now()  # reading may fill the first time

    def _now(self) -> tuple[Any, ...]:
        return tuple((id(blob.data), blob.data.version) for blob in (self._w, self._b) if blob)


class _Product:
    """36 products (tiles, C) · (C, O)."""

    def __init__(
        self, context: Context, tiles: int, channels: int, outputs: int, parameters: tuple[Blob, Blob | None]
    ) -> None:
        layouts = context.layouts
        a, out = (layouts.plain((MATRICES, tiles, k), F32) for k in (channels, outputs))
        desc = Descriptor(context, "matmul", a.desc, layouts.any((MATRICES, channels, outputs), F32), None, out.desc)
        used = desc.fast().layout(n.WEIGHTS)
        self.weights: _Weights = context.once(
            (_Weights, *parameters, used), lambda: _Weights(context, parameters, channels, outputs, used)
        )
        self._a, self._out = (Fixed(index, layout, _EMPTY) for index, layout in ((n.SRC, a), (n.DST, out)))
        b = Fixed(n.WEIGHTS, used, self.weights.array)
        b.nbytes = used.nbytes  # counted with what the step has taken itself
        self.primitive = Primitive(desc, [self._a, b, self._out])

    def take(self, a: np.ndarray, out: np.ndarray) -> None:
        self._a.array, self._out.array = a, out


def convolution(
    context: Context, step: Any, shape: Any, bottom: Blob, target: Target, parameters: tuple[Blob, Blob | None],
    relu: bool, added: Blob | None,
) -> Work:
    """What runs in place of a direct convolution."""
    work = Work()
    work.flops = 2 * shape.multiplications  # of the direct way
    work.forwards = [Winograd(context, shape, step.layer.window, bottom, target, parameters, relu, added)]
    return target.made_by(context, work)
