"""Signals become requests that the loop answers between two batches, when everything is whole."""

from __future__ import annotations

import enum
import signal
from types import FrameType, TracebackType
from typing import Any


class Request(enum.Enum):
    """What the outside may ask for between two iterations or test batches."""

    NONE = "none"
    SNAPSHOT = "snapshot"
    STOP = "stop"


class Interrupts:
    """While it is entered, SIGINT and SIGHUP have the chosen effects ("stop", "snapshot", "none") and SIGTERM stops.

        with Interrupts() as interrupts:
            solver.requests = interrupts.take
            solver.solve()
        sys.exit(interrupts.exit_code)

    A second SIGINT on the way to a stop raises KeyboardInterrupt at once. To be used in the main thread.
    """

    def __init__(self, sigint: str = "stop", sighup: str = "snapshot") -> None:
        effects = {"SIGINT": Request(sigint), "SIGHUP": Request(sighup), "SIGTERM": Request.STOP}
        self.effects = {getattr(signal, name): effect for name, effect in effects.items() if hasattr(signal, name)}
        self.exit_code = 0
        self._pending = Request.NONE
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.signal(number, self._received) for number in self.effects}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def take(self) -> Request:
        """What was asked for since the last call; a stop stays."""
        request = self._pending
        if request is Request.SNAPSHOT:
            self._pending = Request.NONE
        return request

    def _received(self, number: int, frame: FrameType | None) -> None:
        effect = self.effects[signal.Signals(number)]
        if self._pending is Request.STOP and number == signal.SIGINT:
            raise KeyboardInterrupt
        if number == signal.SIGTERM:
            self.exit_code = 128 + number
        if effect is Request.STOP or (effect is Request.SNAPSHOT and self._pending is Request.NONE):
            self._pending = effect
