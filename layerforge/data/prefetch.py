"""Prefetch: batches made ahead by threads, handed over in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from layerforge.core.errors import DataError

T = TypeVar("T")
PATIENCE_SECONDS = 1.0  # how often a waiting consumer looks whether the threads are alive


class Prefetch(Generic[T]):
    """Calls `make(read())` ahead of the consumer.

    read     gives the raw material of the next batch; one call at a time, in order
    make     turns it into a batch; several calls at once
    depth    how many batches may be ready or in the making
    threads  how many are made at once
    waits    how often `get` found no batch ready; waited_seconds: how long it then took in all

    The threads hold `read` and `make` but not this object's owner, so the owner can be collected and close it.
    """

    def __init__(self, read: Callable[[], Any], make: Callable[[Any], T], depth: int, threads: int = 1) -> None:
        self._read, self._make, self._depth = read, make, depth
        self._turn = threading.Lock()  # held while reading, so that numbers follow the order of the reads
        self._changed = threading.Condition()
        self._ready: dict[int, tuple[T | None, BaseException | None]] = {}
        self._asked = self._given = 0  # batches started, batches handed over
        self._closed = False
        self.waits, self.waited_seconds = 0, 0.0
        self._threads = [threading.Thread(target=self._work, name=f"layerforge-data-{i}", daemon=True)
                         for i in range(max(1, min(threads, depth)))]
        for thread in self._threads:
            thread.start()

    def get(self) -> T:
        """The next batch, waiting for it.

        Raises what its making raised, again at every further call; DataError when the threads are gone.
        """
        with self._changed:
            if self._given not in self._ready:
                self._wait()
            batch, error = self._ready[self._given]
            if error is not None:
                raise error
            del self._ready[self._given]
            self._given += 1
            self._changed.notify_all()
        assert batch is not None
        return batch

    def _wait(self) -> None:
        started = time.perf_counter()
        while self._given not in self._ready:
            if self._closed or not any(thread.is_alive() for thread in self._threads):
                raise DataError("the data threads are gone", hint="a process that was forked must open its own nets")
            self._changed.wait(PATIENCE_SECONDS)
        self.waits += 1
        self.waited_seconds += time.perf_counter() - started

    def close(self) -> None:
        """Ends the threads and drops what they made. Safe to call twice."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        if threading.current_thread() not in self._threads:  # the collector may run anywhere
            for thread in self._threads:
                thread.join()

    def _work(self) -> None:
        while (task := self._next_task()) is not None:
            number, raw, error = task
            batch: T | None = None
            if error is None:
                try:
                    batch = self._make(raw)
                except BaseException as caught:  # whatever it is, the consumer must hear of it
                    error = caught
            with self._changed:
                if not self._closed:
                    self._ready[number] = batch, error
                self._changed.notify_all()
            if error is not None:
                return
            del raw, task, batch

    def _next_task(self) -> tuple[int, Any, BaseException | None] | None:
        with self._turn:
            with self._changed:
                while not self._closed and self._asked - self._given >= self._depth:
                    self._changed.wait()
                if self._closed:
                    return None
                number = self._asked
                self._asked += 1
            try:
                return number, self._read(), None
            except BaseException as caught:
                return number, None, caught
