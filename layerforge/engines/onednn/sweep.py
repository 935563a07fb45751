"""Sweeps: compiled loops bound to blobs of one blocked layout, beside the primitives of a step."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.use import Access, Use
from layerforge.engines.onednn.compiled import compiler, loop
from layerforge.engines.onednn.layout import BF16, F32, Layout
from layerforge.engines.step import Bound

WIDTHS = (8, 16)  # channels side by side, as many as a vector holds


class Operand(NamedTuple):
    """A blob's data or diff that a sweep reads or writes."""

    blob: Blob
    part: str
    access: Access = Access.READ


def sweeps(layout: Layout) -> bool:
    """Whether loops can go over values in this layout: float32 or bfloat16, blocked in channels."""
    return layout.type in (F32, BF16) and layout.channel_block in WIDTHS and compiler() is not None


def _nobody() -> None:
    return None


class Sweep:
    """One loop over operands.

    before   slots before those of the operands, with whole numbers
    behind   arrays of the slots behind, which the loop reads and writes
    width    of its vectors; 0: the channels side by side
    """

    arguments = ()

    def __init__(
        self,
        name: str,
        options: Sequence[int],
        layout: Layout,
        before: Sequence[int],
        operands: Sequence[Operand],
        behind: Sequence[np.ndarray],
        width: int = 0,
    ) -> None:
        found = compiler()
        assert found is not None
        self.name, self.impl, self.layout, self.operands = name, found.impl, layout, list(operands)
        self._code = loop(name, width or layout.channel_block, *options, reduced=layout.lossy)
        self._compiler, self._behind = found, list(behind)
        self._slots = np.array([*before, *(0 for _ in operands), *(each.ctypes.data for each in behind)], np.int64)
        self._first = len(before)
        self._held: list[Callable[[], Any]] = [_nobody] * len(operands)

    @property
    def layouts(self) -> tuple[tuple[str, str], ...]:
        """(argument, layout), for `--explain`."""
        return (("x", self.layout.name),)

    def run(self) -> None:
        """Looks up the arrays, those that are read first, and sweeps over them."""
        representation = self.layout.representation
        for writes in (False, True):
            for i, (blob, part, access) in enumerate(self.operands):
                if (access is Access.WRITE) is writes:
                    storage = getattr(blob, part)
                    self._point(i, storage.claim(representation) if writes else storage.array(representation))
        self._compiler.run(self._code, self._slots)

    def bound(self) -> Bound:
        """The loop alone, on the arrays of the last run."""
        return self._compiler.bound(self._code, self._slots, self)

    def primitives(self) -> list[Any]:
        return [self]

    def uses(self) -> Sequence[Use]:
        ordered = sorted(self.operands, key=lambda each: each.access is Access.WRITE)
        return [Use(getattr(blob, part), self.layout.representation, access) for blob, part, access in ordered]

    def _point(self, i: int, array: np.ndarray) -> None:
        if self._held[i]() is not array:
            self._slots[self._first + i] = array.ctypes.data
            self._held[i] = weakref.ref(array)
