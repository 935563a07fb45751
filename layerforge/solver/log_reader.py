"""Reads training logs, Caffe's and ours: losses, outputs of train and test nets, learning rates, times.

Source: Caffe's tools/extra/parse_log.py, for what is looked at
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from layerforge.core.errors import DataError

_STAMP = re.compile(r"^[IWEF](\d{4})?(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d+))?")
_ITERATION = re.compile(r"Iteration (\d+)")
_LOSS = re.compile(r"Iteration \d+.*, loss = (\S+)")
_RATE = re.compile(r"Iteration \d+, lr = (\S+)")
_OUTPUT = re.compile(r"(Train|Test) net output #\d+: (\S+) = (\S+)")
_TEST_NET = re.compile(r"Testing net \(#(\d+)\)")


@dataclass
class Row:
    """What a net said in one iteration.

    seconds        since the training began
    learning_rate  of this iteration, else the last one told before, else the first one told
    net            the number of the test net
    """

    iteration: int
    seconds: float
    learning_rate: float = math.nan
    outputs: dict[str, float] = field(default_factory=dict)
    net: int = 0


@dataclass
class TrainingLog:
    """The rows of a log, in its order; losses: (iteration, smoothed loss)."""

    train: list[Row] = field(default_factory=list)
    test: list[Row] = field(default_factory=list)
    losses: list[tuple[int, float]] = field(default_factory=list)


def read_log(path: str | os.PathLike[str]) -> TrainingLog:
    """The rows of a log file.

    Raises DataError when it cannot be read or tells of no iteration.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = parse_log(file, datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime).year)
    except OSError as error:
        raise DataError(f"the log {os.fspath(path)!r} cannot be read: {error.strerror}") from None
    if not (found.train or found.test or found.losses):
        raise DataError(f"{os.fspath(path)!r} tells of no iteration", hint="a log of training is expected")
    return found


def parse_log(lines: Iterable[str], year: int) -> TrainingLog:
    """The rows of the lines of a log; year: of its lines, which glog writes without one."""
    made = TrainingLog()
    rates: list[tuple[int, float]] = []
    clock, iteration, test_net = _Clock(year), -1, 0
    for line in lines:
        seconds = clock.read(line)
        if seconds is None:
            continue
        if match := _ITERATION.search(line):
            iteration = int(match[1])
        if match := _LOSS.search(line):
            made.losses.append((iteration, _number(match[1])))
        if match := _RATE.search(line):
            rates.append((iteration, _number(match[1])))
        if match := _TEST_NET.search(line):
            test_net = int(match[1])
        match = _OUTPUT.search(line)
        if match and iteration >= 0:
            is_test = match[1] == "Test"
            row = _row(made.test if is_test else made.train, iteration, seconds, match[2], test_net if is_test else 0)
            row.outputs[match[2]] = _number(match[3])
    for rows in (made.train, made.test):
        _fill_rates(rows, rates)
    return made


class _Clock:
    """Seconds since the line that says that solving begins, else since the first line."""

    def __init__(self, year: int) -> None:
        self.year = year
        self._start = self._last = datetime.min
        self._begun = False

    def read(self, line: str) -> float | None:
        """None for lines that glog did not begin."""
        match = _STAMP.match(line)
        if match is None:
            return None
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
        micros = int((match[7] or "0")[:6].ljust(6, "0"))
        try:
            now = datetime(year or self.year, month, day, hour, minute, second, micros)
        except ValueError:
            return None
        if not year and self._last - now > timedelta(days=180):  # past New Year
            self.year += 1
            now = now.replace(year=self.year)
        if self._start == datetime.min or (not self._begun and "Solving" in line):
            self._start, self._begun = now, "Solving" in line
        self._last = now
        return (now - self._start).total_seconds()


def _row(rows: list[Row], iteration: int, seconds: float, output: str, net: int) -> Row:
    """The row an output belongs to: the last one, unless it is of another iteration or has that output."""
    if not rows or rows[-1].iteration != iteration or output in rows[-1].outputs:
        rows.append(Row(iteration, seconds, net=net))
    return rows[-1]


def _fill_rates(rows: list[Row], rates: list[tuple[int, float]]) -> None:
    at = -1
    for row in rows:
        while at + 1 < len(rates) and rates[at + 1][0] <= row.iteration:
            at += 1
        if rates:
            row.learning_rate = rates[max(at, 0)][1]


def _number(text: str) -> float:
    try:
        return float(text.rstrip(","))
    except ValueError:
        return math.nan  # "-nan(ind)" and others
