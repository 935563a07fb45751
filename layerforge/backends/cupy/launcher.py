"""What launching a kernel needs beside the kernel: room for partial sums, tables, and numbers that change all the time.

A recorded iteration repeats its launches with the arguments they had. Numbers that must not repeat (learning rate,
Adam's correction, the number of a random draw) are therefore read from the device: while an iteration is recorded each
launch gets a row of a table, and before each replay the host writes the rows anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from layerforge.core.errors import NotRecordable

ROWS, WIDTH = 4096, 8  # launches with changing numbers of one iteration, and numbers of one launch
ROOM = 1 << 16  # doubles


class Numbers:
    """The table: rows of eight 8-byte numbers, float64 or uint64, on the host and on the device.

    host, device   (ROWS, WIDTH) float64 arrays
    """

    def __init__(self, host: np.ndarray, device: Any) -> None:
        self.host, self.device = host, device
        self._kinds: list[Any] = []  # the type of every row
        self._draws: list[tuple[int, Any, int]] = []  # row, key of its random stream, draw number when recorded
        self._rewritten: list[int] = []  # the rows that are written anew before every launch
        self._once = False
        self._at: int | None = None  # which of them is next, None while rows are added

    def __len__(self) -> int:
        return len(self._kinds)

    def row(self, dtype: Any, values: Sequence[float], key: Any = None) -> Any:
        """Writes the next row and returns it as the kernel sees it.

        key  of the random stream, where the row is the number of a draw
        Raises NotRecordable when there are more rows than the table has, or others than were recorded.
        """
        index = self._next(dtype)
        self.host[index, : len(values)].view(dtype)[...] = values
        if key is not None and self._at is None:
            self._draws.append((index, key, int(values[0])))
        return self.device[index]

    def _next(self, dtype: Any) -> int:
        if self._at is None:
            if len(self._kinds) == len(self.host):
                raise NotRecordable(f"an iteration has more than {len(self.host)} kernels with changing numbers")
            self._kinds.append(dtype)
            if not self._once:
                self._rewritten.append(len(self._kinds) - 1)
            return len(self._kinds) - 1
        if self._at >= len(self._rewritten) or self._kinds[self._rewritten[self._at]] is not dtype:
            raise NotRecordable("the iteration has launches that were not recorded")
        self._at += 1
        return self._rewritten[self._at - 1]

    @contextlib.contextmanager
    def once(self) -> Iterator[None]:
        """Rows that are added inside keep their numbers; draws move on all the same."""
        self._once = True
        try:
            yield
        finally:
            self._once = False

    @contextlib.contextmanager
    def rewriting(self) -> Iterator[None]:
        """Inside, the rows are written anew, in the order in which they were recorded."""
        self._at = 0
        try:
            yield
        finally:
            self._at = None

    @property
    def keys(self) -> set[Any]:
        """The random streams that are drawn from."""
        return {key for _, key, _ in self._draws}

    def redraw(self, later: Mapping[Any, int]) -> None:
        """Moves every draw on from its recorded number by what its stream has moved since: key → draws."""
        for index, key, draw in self._draws:
            self.host[index, :1].view(np.uint64)[...] = draw + later.get(key, 0)


class Launcher:
    """The part of `Kernels` that is the same on the CPU, where tests run the kernels.

    xp        the array module
    numbers   the table of the iteration that is being recorded, or rewritten; else None
    muted     kernels are not launched: only their changing numbers are wanted
    control   the doubles with which the device judges the iteration that is under way (control.py); else None
    """

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.numbers: Numbers | None = None
        self.muted = False
        self.control: Any = None
        self._kept: dict[str, Any] = {}
        self._rooms: list[Any] = []  # kept for ever, as the tables are: recorded iterations point into them
        self._tables: dict[tuple[str, bytes], Any] = {}

    def room(self, count: int) -> Any:
        """At least `count` doubles, which may hold anything; the next call gives the same ones."""
        if not self._rooms or self._rooms[-1].size < count:
            self.must_not_record("room for partial sums has to be taken first")
            self._rooms.append(self.xp.empty(max(count, ROOM), np.float64))
        return self._rooms[-1]

    def keep(self, name: str, count: int) -> Any:
        """So many doubles under this name, always the same ones."""
        if name not in self._kept:
            self.must_not_record("room for sums has to be taken first")
            self._kept[name] = self.xp.zeros(count, np.float64)
        return self._kept[name]

    def table(self, values: np.ndarray, dtype: Any) -> Any:
        """A small host array as a device array of this type. It is moved once; equal values give the same array.

        Raises NotRecordable if it would have to be moved while an iteration is recorded.
        """
        held = np.ascontiguousarray(values, dtype)
        key = held.dtype.str, held.tobytes()
        if key not in self._tables:
            self.must_not_record("a table has to be copied to the device first")
            self._tables[key] = self.xp.asarray(held)
        return self._tables[key]

    def changing(self, dtype: Any, values: Sequence[float], key: Any = None) -> tuple[Any, tuple[Any, ...]]:
        """Kernel arguments for numbers that change: (the row they are read from, or None; the numbers themselves).

        key  of the random stream whose draw number this is
        """
        row = None if self.numbers is None else self.numbers.row(dtype, values, key)
        return row, tuple(dtype(value) for value in values)

    def must_not_record(self, reason: str) -> None:
        """Raises NotRecordable while an iteration is recorded."""
        if self.numbers is not None:
            raise NotRecordable(reason)
