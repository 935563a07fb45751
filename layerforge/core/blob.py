"""Blob: a named value with its gradient. View: what a layer sees of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.core.errors import LayerError
from layerforge.core.storage import HOST, Array, Representation, Storage

MAX_COUNT = 2**31 - 1  # Caffe's limit too: counts are 32-bit


class Blob:
    """Shape, `data` and `diff` (the gradient of the loss with respect to data)."""

    __slots__ = ("name", "shape", "data", "diff")

    def __init__(self, shape: Sequence[int] = (), dtype: Any = np.float32, name: str = "") -> None:
        self.name = name
        self.shape: tuple[int, ...] = ()
        self.data, self.diff = Storage(0, dtype), Storage(0, dtype)
        self.reshape(shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    @property
    def count(self) -> int:
        """The number of values."""
        return self.data.count

    def reshape(self, shape: Sequence[int]) -> None:
        """Changes the shape, and the count if it must; memory that suffices is kept."""
        shape = tuple(int(n) for n in shape)
        if any(n < 0 for n in shape):
            raise LayerError(f"blob {self.name!r} cannot have the shape {shape}", hint="no axis may be negative")
        count = math.prod(shape)
        if count > MAX_COUNT:
            raise LayerError(
                f"blob {self.name!r} of shape {shape} has {count} values, at most {MAX_COUNT} are possible"
            )
        self.shape = shape
        self.data.resize(count)
        self.diff.resize(count)

    def share_data(self, other: Blob) -> None:
        """Uses the other blob's data from now on (same count)."""
        self.data = other.data

    def share_diff(self, other: Blob) -> None:
        """Uses the other blob's gradient from now on (same count)."""
        self.diff = other.diff


class View:
    """A blob as arrays of one representation: what a layer's verbs receive.

    shape        the blob's shape
    data, diff   arrays of the layer's backend, in that shape; what may be written is said by the verb
    """

    __slots__ = ("blob", "representation")

    def __init__(self, blob: Blob, representation: Representation = HOST) -> None:
        self.blob, self.representation = blob, representation

    @property
    def shape(self) -> tuple[int, ...]:
        return self.blob.shape

    @property
    def data(self) -> Array:
        return self.blob.data.array(self.representation).reshape(self.blob.shape)

    @property
    def diff(self) -> Array:
        return self.blob.diff.array(self.representation).reshape(self.blob.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.blob.dtype

    @property
    def ndim(self) -> int:
        return len(self.blob.shape)

    def count(self, start: int = 0, end: int | None = None) -> int:
        """The product of the axes start … end-1."""
        return math.prod(self.blob.shape[start:end])

    def reshape(self, *shape: int | Sequence[int]) -> None:
        """Gives the blob this shape: `reshape(n, c)` or `reshape((n, c))`."""
        self.blob.reshape(shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape)  # type: ignore[arg-type]

    def share(self, other: View) -> None:
        """Uses the other view's data and gradient (same count): Split, Flatten, Reshape."""
        self.blob.share_data(other.blob)
        self.blob.share_diff(other.blob)
