"""Control: the numbers with which the device judges its iterations itself, so that the host need not look each time.

An iteration, eager or recorded, runs between `begin` and `judge`, inside `in_charge`. `judge` looks at the loss and at
the gradient's length, and from then on the update kernels of this iteration obey it: they do nothing unless MOVES, and
scale gradients by SCALE. A loss that is not finite halts the run: no parameter moves any more, and every further
iteration repeats this one, batch and random numbers included, until the host has looked. Whoever finds a gradient that
is not finite in 16 bits sets OVERFLOWED before `judge`: this one update is then skipped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from layerforge.backends.cupy.kernels import blocks
from layerforge.backends.cupy.sums import sum_channels

MOVES, SCALE, HALTED, BATCH, LOSS, SQUARES, OVERFLOWED, JUDGED, LOSS_SCALE, GOOD = range(10)
PLACES, KEPT = 16, 4  # as in control.cuh
ROWS = 128  # judgements that the device keeps until the host reads them


@dataclass(frozen=True)
class Judgement:
    """What came of one iteration.

    loss    mean over its batches
    norm    of the gradient before clipping, 0 where nobody asked for it
    factor  of clipping
    moved   whether the parameters moved
    """

    loss: float
    norm: float
    factor: float
    moved: bool


class Control:
    """The control numbers of one training run, on the device.

    array   PLACES doubles, as kernels see them
    memory  the device's plain representation
    """

    rows = ROWS

    def __init__(self, kernels: Any, memory: Any) -> None:
        self._kernels, self._memory = kernels, memory
        self._room = memory.zeros(PLACES + KEPT * self.rows, np.dtype(np.float64))
        self.array, self._kept = self._room[:PLACES], self._room[PLACES:]
        self._seen = 0  # judgements that the host has read
        self.loss_scale = 1.0, 0  # as the host has last read or written it
        memory.from_host(np.ones(1), self.array[LOSS_SCALE : LOSS_SCALE + 1])
        self.take_numbers(self._kept[:0], self._kept[:0])  # loads it: only recordings launch it

    @contextlib.contextmanager
    def in_charge(self) -> Iterator[None]:
        """Around an iteration: update kernels launched inside obey the judgement, others may read `kernels.control`."""
        self._kernels.control = self.array
        try:
            yield
        finally:
            self._kernels.control = None

    def begin(self) -> None:
        """The first thing of an iteration."""
        self._kernels.launch("control.cu", "begin_iteration", 1, self.array)

    def take_numbers(self, live: Any, sent: Any) -> None:
        """live = sent, unless the run is halted: then it repeats itself."""
        self._kernels.launch("control.cu", "take_numbers", blocks(live.size), live, sent, live.size, self.array)

    def take_batch(self, x: Any, even: Any, odd: Any, turn: int) -> None:
        """x = even for turn 0, odd for turn 1; nothing for others, or when the run is halted."""
        row, number = self._kernels.changing(np.float64, (turn,))
        batches = x, even, odd, x.size, self.array
        self._kernels.launch("control.cu", "take_batch", blocks(x.size), *batches, row, *number, dtype=x.dtype)

    def add_losses(self, tops: Sequence[tuple[Any, float]]) -> None:
        """Adds Σ weight · Σ top to the iteration's loss; one call a batch."""
        for i, (top, weight) in enumerate(tops):
            place = np.float64(weight), i == 0, i == len(tops) - 1
            self._kernels.launch("control.cu", "add_loss", 1, top, top.size, *place, self.array, dtype=top.dtype)

    def add_squares(self, gradients: Sequence[Any]) -> None:
        """Adds Σ g² over all of them to the square of the gradient's length."""
        for g in gradients:
            if g.size:
                sum_channels(self._kernels, g, g, (1, 1, g.size), out=self.array[SQUARES : SQUARES + 1], add=True)

    def set_loss_scale(self, value: float, good: int) -> None:
        """What losses' gradients are multiplied with from here on, and for how many good iterations they have been."""
        if self.loss_scale != (value, good):
            self._memory.from_host(np.array([value, good], np.float64), self.array[LOSS_SCALE : GOOD + 1])
            self.loss_scale = value, good

    def seed_losses(self, seeds: Sequence[tuple[Any, float]]) -> None:
        """dy = weight · loss scale, for the gradient of each loss and its weight."""
        for dy, weight in seeds:
            place = dy.size, np.float64(weight), self.array
            self._kernels.launch("control.cu", "seed_loss", blocks(dy.size), dy, *place, dtype=dy.dtype)

    def judge(self, *, watch: bool, bound: float, batches: int, patience: float = -1, top: float = 0) -> None:
        """Whether and how far the parameters move.

        watch     halts the run at a loss that is not finite
        bound     clip_gradients, below 0 for none
        batches   iter_size
        patience  good iterations after which the loss scale doubles, up to `top`; 0: it is fixed; below 0: there is
                  none
        """
        row, numbers = self._kernels.changing(np.float64, (watch, bound, batches, patience, top))
        self._kernels.launch("control.cu", "judge", 1, self.array, self._kept, self.rows, row, *numbers)

    def read(self) -> tuple[list[Judgement], bool]:
        """(The judgements since the last reading, at most `rows`, oldest first; whether the last one halted the run).

        The run goes on afterwards. Waits for the device.
        """
        held = np.empty(self._room.size)
        self._memory.to_host(self._room, held)
        end, halted = int(held[JUDGED]), bool(held[HALTED])
        kept = held[PLACES:].reshape(-1, KEPT)
        found = [Judgement(*kept[i % self.rows, :3].tolist(), bool(kept[i % self.rows, 3]))
                 for i in range(self._seen, end)]
        self._seen, self.loss_scale = end, (float(held[LOSS_SCALE]), int(held[GOOD]))
        if halted:
            self._memory.from_host(np.zeros(1), self.array[HALTED : HALTED + 1])
        return found, halted
