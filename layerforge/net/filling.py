"""Filling: the first values of parameters, drawn by several threads a little ahead of who reads them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from layerforge.core import threads
from layerforge.core.storage import LARGE, Storage
from layerforge.layers.fillers import FirstValue

AHEAD = 3 << 23  # bytes that may be drawn before they are wanted


@contextlib.contextmanager
def filling(parameters: Iterable[Storage]) -> Iterator[None]:
    """Within the block, parameters that have not been read yet are drawn ahead of their turn, in the given order.

    Each has a stream of its own, so that who draws it when makes no difference. What nobody has read at the end is
    drawn when it is.
    """
    found = [each for each in dict.fromkeys(parameters) if _drawable(each)]
    if threads.count() == 1 or len(found) < 2:
        yield
        return
    with ThreadPoolExecutor(threads.count(), "layerforge filler") as pool:
        ahead = _Ahead(found, pool)
        try:
            yield
        finally:
            ahead.end()


def _drawable(storage: Storage) -> bool:
    return storage.nbytes <= LARGE and isinstance(storage.initial, FirstValue) and storage.initial.repeats


class _Awaited:
    """Number i of what is drawn ahead."""

    repeats = True

    def __init__(self, ahead: _Ahead, i: int) -> None:
        self._ahead, self._i = ahead, i

    def __call__(self) -> np.ndarray:
        return self._ahead.take(self._i)


class _Ahead:
    """Draws them in order. The values that wait to be read are AHEAD bytes, or one."""

    def __init__(self, storages: list[Storage], pool: ThreadPoolExecutor) -> None:
        self._storages, self._pool = storages, pool
        self._first = [each.initial for each in storages if isinstance(each.initial, FirstValue)]
        self._drawn: dict[int, Future[np.ndarray]] = {}
        self._next = self._waiting = 0
        self._awaited = [_Awaited(self, i) for i in range(len(storages))]
        for storage, awaited in zip(storages, self._awaited):
            storage.initial = awaited
        self._go_on()

    def take(self, i: int) -> np.ndarray:
        drawn = self._drawn.pop(i, None)
        self._next = max(self._next, i + 1)
        if drawn is not None:
            self._waiting -= self._storages[i].nbytes
        self._go_on()
        first = self._first[i]
        first.settle()
        return first.draw() if drawn is None else drawn.result()

    def _go_on(self) -> None:
        while self._next < len(self._storages):
            storage, first = self._storages[self._next], self._first[self._next]
            if self._waiting and self._waiting + storage.nbytes > AHEAD:
                return
            if self._mine(self._next):
                self._drawn[self._next] = self._pool.submit(first.draw)
                self._waiting += storage.nbytes
            self._next += 1

    def _mine(self, i: int) -> bool:
        return self._storages[i].initial is self._awaited[i]

    def end(self) -> None:
        """Whoever has not been read begins as before."""
        for i, storage in enumerate(self._storages):
            if self._mine(i):
                storage.initial = self._first[i]
        for each in self._drawn.values():
            each.cancel()
        self._drawn.clear()
