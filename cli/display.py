"""The live display of training on a terminal: a progress bar with loss, learning rate, images/s and time left."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from layerforge.cli.timing import batch_size
from layerforge.solver.observer import Observer, Report, TestReport

if TYPE_CHECKING:
    from rich.console import Console

    from layerforge.solver.loop import Solver

WINDOW_SECONDS = 10.0  # the rate is that of the last seconds, not of the whole run
LASTING = {"solver.cpp", "solver.cpp:72", "solver.cpp:296", "solver.cpp:311"}
"""Sources of messages worth keeping: what Caffe has no words for, which weights and state are used, how to go on."""


class Rate:
    """Units per second over the last WINDOW_SECONDS."""

    def __init__(self, clock: Any = time.monotonic) -> None:
        self._clock = clock
        self._marks: deque[tuple[float, float]] = deque()

    def update(self, done: float) -> None:
        """Says how much is done by now."""
        now = self._clock()
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[0][0] > WINDOW_SECONDS:
            self._marks.popleft()

    @property
    def per_second(self) -> float:
        """0 until two different moments are known."""
        if len(self._marks) < 2:
            return 0.0
        (t0, n0), (t1, n1) = self._marks[0], self._marks[-1]
        return (n1 - n0) / (t1 - t0) if t1 > t0 else 0.0


class Display(Observer):
    """A bar at the bottom of the terminal, lines of lasting interest above it. Use it as a context.

    images   samples per iteration, 0 when unknown: then the rate is in iterations
    """

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.images = 0
        self.rate = Rate()
        self.console = console or Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.completed:.0f}/{task.total:.0f}"), BarColumn(bar_width=None),
            TextColumn("{task.fields[loss]}"), TextColumn("{task.fields[lr]}"), TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[left]}"), console=self.console, refresh_per_second=4, transient=False)
        self._task = self._progress.add_task("", total=0, loss="", lr="", rate="", left="")

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def on_start(self, solver: Solver) -> None:
        self.images = batch_size(solver.net) * solver.params.iter_size
        self._progress.update(self._task, completed=solver.iter, total=solver.params.max_iter)
        self._progress.start()

    def on_iteration(self, report: Report) -> None:
        self.rate.update(report.iteration)
        speed = self.rate.per_second
        self._progress.update(
            self._task, completed=report.iteration + 1, total=report.max_iter, loss=f"loss {report.loss:.4g}",
            lr=f"lr {report.lr:.3g}",
            rate=(f"{speed * self.images:,.0f} images/s" if self.images else f"{speed:,.1f} it/s") if speed else "",
            left=f"{duration((report.max_iter - report.iteration - 1) / speed)} left" if speed else "")

    def on_test(self, report: TestReport) -> None:
        outputs = ", ".join(f"{output.name} {output.value:.4g}" for output in report.outputs[:4])
        more = f" and {len(report.outputs) - 4} more" if len(report.outputs) > 4 else ""
        self.note(f"iteration {report.iteration}, test net {report.net}: {outputs}{more}")

    def on_snapshot(self, path: str, kind: str, file_format: str) -> None:
        self.note(f"saving {path}")

    def on_message(self, text: str, source: str = "solver.cpp") -> None:
        if source in LASTING:
            self.note(text)

    def note(self, text: str) -> None:
        """A line that stays, above the bar."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """A time in words of a clock: 0:42, 12:03, 3:05:00."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
