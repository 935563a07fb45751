"""Streams and events of a device that works at once, or does nothing before the host waits and then chooses an order.

Work on one stream runs in the order it was given; work on two streams runs in any order that events allow. Devices do
what suits them, so a wait that was forgotten may go unseen for ever: here one of the ORDERS makes wrong numbers of it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

Work = Callable[[], Any]


class CudaError(RuntimeError):
    """What CUDA raises."""


class Device:
    """All streams.

    order   the name of one of ORDERS
    looks   how often the host waited for all that was under way
    pauses  how often it waited for one event
    """

    def __init__(self, order: str = "at once") -> None:
        self.streams: list[Stream] = []
        self.looks, self.pauses, self.lazy = 0, 0, order != "at once"
        self._pick = ORDERS[order]()
        self._running = False

    def go_on(self) -> None:
        """There is more to do: does it, unless it is lazy."""
        while not self.lazy and not self._running and (ready := [stream for stream in self.streams if stream.ready()]):
            ready[0].step()

    def run_until(self, done: Callable[[], bool]) -> None:
        """Runs streams until this is so."""
        assert not self._running, "work on a stream waits for a stream"
        self._running = True
        try:
            while not done():
                ready = [stream for stream in self.streams if stream.ready()]
                assert ready, "the streams wait for one another"
                self._pick(ready).step()
        finally:
            self._running = False


class Event:
    """Marks a place of a stream: that of its last recording."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.recorded = self.reached = 0
        self._device: Device | None = None

    @property
    def done(self) -> bool:
        return self.reached >= self.recorded

    def place(self, device: Device) -> Work:
        """Recorded anew: what the stream does when it gets there."""
        self._device, self.recorded = device, self.recorded + 1
        number = self.recorded

        def reach() -> None:
            self.reached = max(self.reached, number)

        return reach

    def synchronize(self) -> None:
        if self._device is not None:
            self._device.pauses += 1
            number = self.recorded
            self._device.run_until(lambda: self.reached >= number)


class Stream:
    """A queue of work. kept: what a recording has kept so far, None while none lasts."""

    def __init__(self, device: Device, non_blocking: bool = False) -> None:
        self.device, self.kept, self.fails = device, None, False
        self.launches = self.finished = 0  # graphs
        self._queue: deque[tuple[Event | None, int, Work]] = deque()
        device.streams.append(self)

    kept: list[Work] | None

    def do(self, work: Work) -> None:
        """Puts work on the stream, or into the recording."""
        if self.kept is None:
            self._put(work)
        else:
            self.kept.append(work)

    def _put(self, work: Work, event: Event | None = None, number: int = 0) -> None:
        self._queue.append((event, number, work))
        self.device.go_on()

    def ready(self) -> bool:
        """Whether it has work that waits for no event."""
        if not self._queue:
            return False
        event, number, _ = self._queue[0]
        return event is None or event.reached >= number

    def step(self) -> None:
        self._queue.popleft()[2]()

    def record(self, event: Event | None = None) -> Event:
        self._refuse()
        event = event or Event()
        self._put(event.place(self.device))
        return event

    def wait_event(self, event: Event) -> None:
        self._refuse()
        self._put(lambda: None, event, event.recorded)

    def synchronize(self) -> None:
        self.device.looks += 1
        self.finish()

    def finish(self) -> None:
        """Runs to the end of what there is now."""
        self._refuse()
        self.device.run_until(lambda: not self._queue)

    def finish_graph(self) -> None:
        self.finished += 1

    def begin_capture(self, mode: int | None = None) -> None:
        self.kept = []

    def end_capture(self) -> Graph:
        kept, self.kept = self.kept, None
        if self.fails:
            raise CudaError("operation not permitted when stream is capturing\nand more")
        return Graph(kept or [])

    def use(self) -> Stream:
        return self

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def _refuse(self) -> None:
        if self.kept is not None:
            raise CudaError("operation not permitted when stream is capturing")


class Graph:
    """What was recorded."""

    def __init__(self, works: list[Work]) -> None:
        self._works = works

    def launch(self, stream: Stream) -> None:
        stream.launches += 1
        for work in self._works:
            stream.do(work)
        stream.do(stream.finish_graph)


def main_first() -> Callable[[list[Stream]], Stream]:
    """The stream that was made first goes ahead as far as it can."""
    return lambda ready: ready[0]


def main_last() -> Callable[[list[Stream]], Stream]:
    """All others go ahead as far as they can."""
    return lambda ready: ready[-1]


def by_chance(seed: int) -> Callable[[], Callable[[list[Stream]], Stream]]:
    """Any of them."""
    return lambda: random.Random(seed).choice


ORDERS = {"at once": main_first, "main first": main_first, "main last": main_last}
ORDERS |= {f"chance {i}": by_chance(i) for i in range(4)}
