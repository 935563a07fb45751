"""Sweeps: compiled loops bound to blobs of one blocked layout, beside the primitives of a step."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.storage import Storage
from layerforge.core.threads import count
from layerforge.core.use import Access, Use
from layerforge.engines.onednn.compiled import compiler, loop
from layerforge.engines.onednn.layout import BF16, F32, Layout
from layerforge.engines.onednn.primitive import Context

WIDTHS = (8, 16)  # channels side by side, as many as a vector holds
BUSY = 4  # pieces for a thread, so that all end together


def _nobody() -> None:
    return None


class Operand(NamedTuple):
    """A blob's data or diff that a sweep reads or writes."""

    blob: Blob
    part: str
    access: Access = Access.READ

    @property
    def storage(self) -> Storage:
        found: Storage = getattr(self.blob, self.part)
        return found


def sweeps(layout: Layout) -> bool:
    """Whether loops can go over values in this layout: float32 or bfloat16, blocked in channels."""
    return layout.type in (F32, BF16) and layout.channel_block in WIDTHS and compiler() is not None


class Sweep:
    """One loop over operands, those it reads first.

    channels  float32 arrays of the padded channels
    sums      how many sums are taken
    """

    def __init__(
        self,
        context: Context,
        name: str,
        options: Sequence[int],
        layout: Layout,
        operands: Sequence[Operand],
        channels: Sequence[np.ndarray] = (),
        sums: int = 0,
    ) -> None:
        self.name, self.layout, self.operands, self.channels = name, layout, list(operands), list(channels)
        found = compiler()
        assert found is not None
        self._compiler, self.impl = found, found.impl
        width = layout.channel_block
        self._code = loop(name, width, *options, reduced=layout.lossy)
        samples, inner = layout.shape[0], math.prod(layout.shape[2:])
        blocks = -(-layout.shape[1] // width)
        pieces = min(inner, -(-BUSY * count() // (samples * blocks)))
        self._shape = (sums, samples, blocks, pieces, width)
        self._room, self._size = context.sums, math.prod(self._shape)
        self._room.need(8 * self._size)
        self._slots = np.zeros(4 + len(operands) + len(channels) + sums, np.int64)
        self._slots[:4] = samples, blocks, inner, pieces
        self._held: list[Callable[[], Any]] = [_nobody] * (len(operands) + 1)
        at = 4 + len(operands)
        self._slots[at : at + len(channels)] = [each.ctypes.data for each in channels]

    arguments = ()

    @property
    def layouts(self) -> tuple[tuple[str, str], ...]:
        """(argument, layout), for `--explain`."""
        return (("x", self.layout.name),)

    def primitives(self) -> list[Any]:
        return [self]

    def run(self) -> None:
        """Looks up the arrays and sweeps over them."""
        representation = self.layout.representation
        for i, (blob, part, access) in enumerate(self.operands):
            storage = getattr(blob, part)
            self._point(i, storage.claim(representation) if access is Access.WRITE else storage.array(representation))
        if self._shape[0]:
            room = self._room.array()
            if self._held[-1]() is not room:
                self._slots[-self._shape[0] :] = room.ctypes.data + 8 * self._size // self._shape[0] * np.arange(
                    self._shape[0]
                )
                self._held[-1] = weakref.ref(room)
        self._compiler.run(self._code, self._slots)

    def sums(self) -> np.ndarray:
        """(sums, padded channels) of the last run, in float64."""
        kinds, samples, blocks, pieces, width = self._shape
        found = self._room.array()[: 8 * self._size].view(np.float64)
        if pieces == 1:
            return found.reshape(kinds, samples, blocks * width).sum(1)
        return found.reshape(self._shape).sum((1, 3)).reshape(kinds, -1)

    def uses(self) -> Sequence[Use]:
        return [Use(each.storage, self.layout.representation, each.access) for each in self.operands]

    def _point(self, i: int, array: np.ndarray) -> None:
        if self._held[i]() is not array:
            self._slots[4 + i] = array.ctypes.data
            self._held[i] = weakref.ref(array)
