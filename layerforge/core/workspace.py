"""Workspace: scratch memory that all layers of a net share, and buffers a layer keeps between its verbs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.core.storage import HOST, Array, Representation


class Buffer:
    """An array with a shape, allocated when first asked for."""

    __slots__ = ("shape", "dtype", "_source", "_offset", "_array")

    def __init__(self, shape: Sequence[int], dtype: Any, source: Workspace, offset: int | None) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self._source, self._offset, self._array = source, offset, None

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def kept(self) -> bool:
        """Whether it is memory of its own, not scratch."""
        return self._offset is None

    @property
    def data(self) -> Array:
        """The array. Scratch holds anything at the start of a verb; a kept buffer holds what was last written."""
        if self._offset is not None:
            return self._source.slice(self._offset, self.shape, self.dtype)
        if self._array is None:
            self._array = self._source.representation.zeros(math.prod(self.shape), self.dtype).reshape(self.shape)
        return self._array


class Workspace:
    """One block of bytes, as large as the most demanding layer needs.

    generation  rises when memory is declared anew, or has moved: who points into it looks again
    """

    ALIGNMENT = 64  # bytes, a cache line

    def __init__(self, representation: Representation = HOST) -> None:
        self.representation = representation
        self.nbytes = self.generation = 0
        self._block: Array | None = None

    def scratch(self, shape: Sequence[int], dtype: Any, offset: int) -> tuple[Buffer, int]:
        """A buffer at this offset of the block, and the offset behind it."""
        buffer = Buffer(shape, dtype, self, offset)
        end = offset + -(-buffer.nbytes // self.ALIGNMENT) * self.ALIGNMENT
        self.nbytes = max(self.nbytes, end)
        return buffer, end

    def kept(self, shape: Sequence[int], dtype: Any) -> Buffer:
        """A buffer of its own."""
        self.generation += 1
        return Buffer(shape, dtype, self, None)

    def slice(self, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """The bytes from `offset` on as an array."""
        if self._block is None or self._block.size < self.nbytes:
            self._block = self.representation.zeros(self.nbytes, np.dtype(np.uint8))
            self.generation += 1
        size = math.prod(shape) * dtype.itemsize
        return self._block[offset : offset + size].view(dtype).reshape(shape)
