"""Draws: many independent random numbers, in place and piece by piece, by all threads as by one."""

from __future__ import annotations

import contextlib
import math
import mmap
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from layerforge.core import random, threads

PIECE = 1 << 16  # numbers that stay in the cache
OWN_PAGES = 1 << 20  # bytes of values that get pages of their own
LEAST = 1 << 15  # blocks of random numbers that a thread of its own is worth


def room(shape: Sequence[int]) -> np.ndarray:
    """Memory for values that are soon copied elsewhere: the system has it back at once, whatever thread took it."""
    nbytes = 4 * math.prod(shape)
    if nbytes < OWN_PAGES or not hasattr(mmap, "MAP_PRIVATE"):
        return np.empty(shape, np.float32)
    pages = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a system without them
            pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.float32).reshape(shape)


class Draws(NamedTuple):
    """Numbers of N(0, 1) if `normal`, else of U(0, 1), each then changed in place."""

    normal: bool
    change: Callable[[np.ndarray], None]

    def array(self, rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
        """The next numbers, as many as the shape has."""
        w = room((math.prod(shape),))
        if self.normal:
            self._draw(rng, w)
        else:
            self._share(rng, w)
        return w.reshape(shape)

    def pieces(self, rng: np.random.Generator, count: int, size: int) -> Iterator[np.ndarray]:
        """The same numbers, `size` at a time."""
        for first in range(0, count, size):
            yield self.array(rng, (min(size, count - first),))

    def _draw(self, rng: np.random.Generator, some: np.ndarray) -> None:
        draw = rng.standard_normal if self.normal else rng.random
        for first in range(0, len(some), PIECE):
            piece = some[first : first + PIECE]
            draw(dtype=np.float32, out=piece)
            self.change(piece)

    def _share(self, rng: np.random.Generator, w: np.ndarray) -> None:
        """Each thread draws from where one alone would have come to."""
        blocks = random.Blocks(rng)
        length = -(-len(w) // blocks.SIZE)
        if length <= LEAST or not blocks.whole:
            self._draw(rng, w)
            return

        def mine(part: slice) -> None:
            last = part.stop == length
            end = None if last else part.stop * blocks.SIZE
            self._draw(blocks.at(part.start, last), w[part.start * blocks.SIZE : end])

        threads.share(mine, length, LEAST)
