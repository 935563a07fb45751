"""Running: what holds while a net computes.

BLAS keeps to the net's threads, and beside an engine that brings its own to one: the two pools would wait for each
other's spinning threads. And one Python thread at a time uses an engine: OpenMP makes a pool for each thread that does.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol


class Pool(Protocol):
    """The threads of an engine. How many work is a setting of each thread that calls it."""

    def take(self, threads: int) -> int:
        """From now on so many work for the calling thread; returns how many did before."""

    def give_back(self, before: int) -> None:
        """Puts back what `take` returned."""


SLICE_SECONDS = 0.005
"""So long a thread may come back before others have a turn: to change costs as much as a pass of a small net."""


class Turns:
    """One thread at a time. Who waits comes next once the others' time is over. Within one's own turn entering is
    free."""

    def __init__(self) -> None:
        self._next, self._now = threading.Lock(), threading.Lock()
        self._owner = self._depth = self._last = 0
        self._until = 0.0

    @property
    def mine(self) -> bool:
        """Whether it is the calling thread's turn."""
        return self._owner == threading.get_ident()

    def enter(self) -> None:
        """Waits for the turn."""
        me = threading.get_ident()
        if self._owner == me:
            self._depth += 1
            return
        if self._last == me and time.monotonic() < self._until:
            self._now.acquire()
        else:
            with self._next:  # whoever just had a turn comes behind the one that waits here
                self._now.acquire()
            self._last, self._until = me, time.monotonic() + SLICE_SECONDS
        self._owner = me

    def leave(self) -> None:
        """Lets the next one in."""
        if not self.mine:  # a child that was forked in the middle
            return
        if self._depth:
            self._depth -= 1
            return
        self._owner = 0
        self._now.release()


class Library(NamedTuple):
    """A BLAS library: how many threads it has."""

    get: Callable[[], int]
    set: Callable[[int], Any]


class Blas:
    """Holds the BLAS libraries of the process to few threads while anything runs; the last to end restores them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, Library] = {}  # by file
        self._before: list[tuple[Library, int]] = []
        self._wishes: list[int] = []

    def look(self) -> None:
        """Finds what is loaded by now. A BLAS on OpenMP has the threads that its caller's setting says."""
        from threadpoolctl import ThreadpoolController

        for each in ThreadpoolController().lib_controllers:
            path = each.filepath
            if each.user_api != "blas" or path in self._found or getattr(each, "threading_layer", "") == "openmp":
                continue
            library = Library(*(openblas(path) or (each.get_num_threads, each.set_num_threads)))
            with self._lock:
                self._found[path] = library
                if self._wishes:
                    self._before.append((library, library.get()))
                    self._apply()

    def hold(self, threads: int) -> None:
        """At most so many until `free` is called with the same number."""
        with self._lock:
            if not self._wishes:
                self._before = [(each, each.get()) for each in self._found.values()]
            self._wishes.append(threads)
            if threads == min(self._wishes):
                self._apply()

    def free(self, threads: int) -> None:
        """Ends a hold."""
        with self._lock:
            if threads in self._wishes:
                self._wishes.remove(threads)
                if threads < min(self._wishes, default=threads + 1):
                    self._apply()

    def forget(self) -> None:
        """Ends all holds: those who had them are gone."""
        self._lock = threading.Lock()
        self._wishes.clear()
        self._apply()

    def _apply(self) -> None:
        most = min(self._wishes, default=None)
        for library, before in self._before:
            wanted = before if most is None else min(before, most)
            if library.get() != wanted:
                library.set(wanted)


def openblas(path: str) -> tuple[Callable[[], int], Callable[[int], Any]] | None:
    """OpenBLAS's own functions: threadpoolctl lets one Python thread alone set a limit. None for other libraries."""
    library = ctypes.CDLL(path)
    for prefix, suffix in itertools.product(("", "scipy_"), ("", "64_", "_64")):
        with contextlib.suppress(AttributeError):
            get, put = (getattr(library, f"{prefix}openblas_{verb}_num_threads{suffix}") for verb in ("get", "set"))
            put.argtypes, put.restype = [ctypes.c_int], None
            return get, put
    return None


TURNS, BLAS = Turns(), Blas()


class Running:
    """How a net runs.

    threads  how many compute
    pool     the engine's threads; None: no engine takes part
    """

    def __init__(self, threads: int, pool: Pool | None = None) -> None:
        self.threads, self.pool = threads, pool
        BLAS.look()

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Around every pass. May be entered again inside."""
        pool, most = self.pool, 1 if self.pool else self.threads
        if pool is not None:
            TURNS.enter()
        try:
            before = pool.take(self.threads) if pool is not None else 0
            BLAS.hold(most)
            try:
                yield
            finally:
                BLAS.free(most)
                if pool is not None:
                    pool.give_back(before)
        finally:
            if pool is not None:
                TURNS.leave()

    @contextlib.contextmanager
    def pausing(self) -> Iterator[None]:
        """Around what may wait within a pass, a user's code or a batch: others have their turn meanwhile."""
        if self.pool is None:
            yield
            return
        TURNS.leave()
        try:
            yield
        finally:
            TURNS.enter()


def _forked() -> None:
    TURNS.__init__()  # type: ignore[misc]  # whose turn it was lives in the parent
    BLAS.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
