"""What convolutions by loops of our own share: what they read and write, and whose weights they fetch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.use import Access, Use
from layerforge.engines.onednn.compiled import Code, compiler
from layerforge.engines.onednn.layout import F32, Layout
from layerforge.engines.onednn.places import Target
from layerforge.engines.onednn.primitive import Context, Fixed
from layerforge.engines.step import Bound


class Slots(NamedTuple):
    """Where a loop has its pointers: bottom, top, what is added; what is wanted next, and how many bytes of it."""

    x: int
    y: int
    other: int
    next: int
    behind: int


class OwnConvolution:
    """y = max(w ⋆ x + b + other?, 0)?

    x, y       channels last
    weights    in the order of the loop
    arguments  what counts as memory
    next       the weights that are fetched meanwhile
    """

    name, at = "", Slots(0, 0, 0, 0, 0)
    weights: Any
    arguments: list[Fixed]
    _code: Code
    _slots: np.ndarray

    def __init__(self, context: Context, shape: Any, bottom: Blob, target: Target, added: Blob | None) -> None:
        self._bottom, self._target, self._added = bottom, target, added
        self.x, self.y = context.layouts.channels_last(shape.x, F32), target.layout
        self.layouts = (("x", self.x.name), ("y", self.y.name))
        found = compiler()
        assert found is not None
        self._compiler, self.impl = found, found.impl
        self.next: np.ndarray | None = None

    def take_turn(self, context: Context) -> None:
        """Behind all that was planned before: the last of those fetches these weights."""
        before, context.fetched = context.fetched, self
        if before is not None:
            before.precede(self.weights.array)

    def precede(self, weights: np.ndarray) -> None:
        """What is wanted next."""
        self.next = weights
        self._slots[self.at.behind], self._slots[self.at.next] = weights.nbytes, weights.ctypes.data

    def run(self) -> None:
        self.weights.take()
        slots, at = self._slots, self.at
        slots[at.x] = self._bottom.data.array(self.x.representation).ctypes.data
        if self._added is not None:
            slots[at.other] = self._added.data.array(self.y.representation).ctypes.data
        slots[at.y] = self._target.claim()
        self._compiler.run(self._code, slots)

    def bound(self) -> Bound:
        return self._compiler.bound(self._code, self._slots, self)

    def uses(self) -> Sequence[Use]:
        read = [Use(self._bottom.data, self.x.representation, Access.READ)]
        if self._added is None:
            return [*read, self._target.use()]
        read.append(Use(self._added.data, self.y.representation, Access.READ))
        return [*read, self._target.use(None if self._added is self._bottom else self._added.data)]

    def primitives(self) -> list[Any]:
        return [self]


def counted(index: int, layout: Layout, array: np.ndarray) -> Fixed:
    """An array of the step's own, which counts as memory that it has taken."""
    found = Fixed(index, layout, array)
    found.nbytes = array.nbytes
    return found
