"""Feed: batches travel over a second stream, into one of two places in turn, while the iteration before is at work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from layerforge.backends.cupy.control import Control
from layerforge.core.storage import HOST, Storage

NOTHING = 2  # the turn of a value that has not changed


@dataclass
class Lane:
    """How one value travels.

    pages, places  two of page-locked memory, two on the device
    turn           which of them holds what comes next
    direct         it does not travel: the device itself writes it
    """

    pages: list[np.ndarray] = field(default_factory=list)
    places: list[Any] = field(default_factory=list)
    turn: int = NOTHING
    direct: bool = False


class Feed:
    """Brings what the host wrote since the last iteration: `send` before it, `take` first thing in it, `done` behind.

        host      page[t] = batch          once the copy of two turns ago has left the page
        copies    place[t] = page[t]       once the iteration of two turns ago is done
        compute   x = place[t]             once the copy has arrived; a part of the iteration

    generation  rises when places have moved, or a value comes another way: a recording fits no more
    """

    def __init__(self, cupy: Any, stream: Any, memory: Any, control: Control) -> None:
        self._cupy, self._stream, self._memory, self._control = cupy, stream, memory, control
        self._copies = cupy.cuda.Stream(non_blocking=True)
        event = partial(cupy.cuda.Event, block=True, disable_timing=True)
        self._arrived, self._done = [event(), event()], [event(), event()]
        self._lanes: dict[Storage, Lane] = {}
        self._turn, self.generation = 0, 0

    def send(self, storages: Sequence[Storage]) -> None:
        """Starts the copies of those whose newest value is the host's; what the device wrote stays where it is.

        The device's memory counts as fresh from now on, as the only one on the device: layouts are converted from it
        within the iteration.
        """
        self._turn = turn = 1 - self._turn
        moved = False
        for storage in storages:
            lane, fresh = self._lanes.setdefault(storage, Lane()), storage.fresh()
            lane.turn = NOTHING
            if lane.direct != (bool(fresh) and HOST not in fresh):
                lane.direct = not lane.direct
                self.generation += 1
            if lane.direct:
                continue
            self._make_room(lane, storage)
            if HOST not in fresh or self._memory in fresh or storage.held(self._memory) is None:
                storage.array(self._memory)  # at once, in the order of the computation
            else:
                if not moved:
                    self._arrived[turn].synchronize()
                    self._copies.wait_event(self._done[turn])
                    moved = True
                page = lane.pages[turn][: storage.count]
                np.copyto(page, storage.array(HOST))
                lane.places[turn][: storage.count].set(page, stream=self._copies)
                storage.adopt(self._memory)
                lane.turn = turn
            if set(storage.fresh()) - {HOST, self._memory}:
                storage.renew([r for r in storage.fresh() if r in (HOST, self._memory)])
        if moved:
            self._copies.record(self._arrived[turn])
            self._stream.wait_event(self._arrived[turn])

    def take(self, storages: Sequence[Storage]) -> None:
        """Each value to where the iteration reads it, if it has changed."""
        for storage in storages:
            lane = self._lanes[storage]
            if not lane.direct:
                x = storage.array(self._memory)
                self._control.take_batch(x, *(place[: x.size] for place in lane.places), lane.turn)

    def stay(self, storages: Sequence[Storage]) -> None:
        """What the device holds is the value: a halted run took none of what was sent since."""
        for storage in storages:
            if not self._lanes[storage].direct:
                storage.wrote(self._memory)

    def done(self) -> None:
        """The iteration is on the stream."""
        self._stream.record(self._done[self._turn])

    def _make_room(self, lane: Lane, storage: Storage) -> None:
        if lane.places and lane.places[0].size >= storage.count:
            return
        self._copies.synchronize()  # pages that are given back must not be on their way any more
        count, kind = storage.count, storage.dtype
        pinned = self._cupy.cuda.alloc_pinned_memory
        lane.pages = [np.frombuffer(pinned(storage.nbytes), kind, count) for _ in range(2)]
        lane.places = [self._cupy.empty(count, kind) for _ in range(2)]
        self.generation += 1
        # the memory may be some that work on the computation's stream has just given back
        self._copies.wait_event(self._stream.record())
