"""CaffeLog: a run told in Caffe's own lines, so that old log parsers and plot scripts read it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TextIO

from layerforge.solver.observer import Observer, Output, Report, TestReport

_WEIGHTS = {"BINARYPROTO": ("Snapshotting to binary proto file", "solver.cpp:464"),
            "HDF5": ("Snapshotting to HDF5 file", "solver.cpp:475")}
_STATE = {"BINARYPROTO": ("Snapshotting solver state to binary proto file", "sgd_solver.cpp:284"),
          "HDF5": ("Snapshotting solver state to HDF5 file", "sgd_solver.cpp:296")}


def prefix(when: datetime, source: str, severity: str = "I", process: int | None = None) -> str:
    """What glog puts before a line: "I1120 23:10:11.123456  1234 solver.cpp:239] "."""
    return f"{severity}{when:%m%d %H:%M:%S.%f} {os.getpid() if process is None else process:5d} {source}] "


class CaffeLog(Observer):
    """Writes each event as Caffe logs it.

    stream  where the lines go; every line is flushed, so that `tail -f` and a crash lose nothing
    """

    def __init__(self, stream: TextIO, now: Callable[[], datetime] = datetime.now) -> None:
        self.stream, self.now = stream, now

    def write(self, text: str, source: str) -> None:
        """One line, or several that belong together."""
        self.stream.write(prefix(self.now(), source) + text + "\n")
        self.stream.flush()

    def on_iteration(self, report: Report) -> None:
        if not report.display:
            return
        self.write(f"Iteration {report.iteration} ({report.rate:g} iter/s, {report.seconds:g}s/{report.every} iters), "
                   f"loss = {report.loss:g}", "solver.cpp:239")
        self._outputs("Train", report.outputs, "solver.cpp:258")

    def on_test_start(self, iteration: int, net: int) -> None:
        self.write(f"Iteration {iteration}, Testing net (#{net})", "solver.cpp:347")

    def on_test(self, report: TestReport) -> None:
        if report.loss is not None:
            self.write(f"Test loss: {report.loss:g}", "solver.cpp:404")
        self._outputs("Test", report.outputs, "solver.cpp:414")

    def on_snapshot(self, path: str, kind: str, file_format: str) -> None:
        words, source = (_WEIGHTS if kind == "weights" else _STATE)[file_format]
        self.write(f"{words} {path}", source)

    def on_message(self, text: str, source: str = "solver.cpp") -> None:
        self.write(text, source)

    def on_finish(self, iteration: int, loss: float | None) -> None:
        self.write("Optimization Done.", "solver.cpp:332")

    def _outputs(self, net: str, outputs: Sequence[Output], source: str) -> None:
        for o in outputs:
            loss = f" (* {o.weight:g} = {o.weight * o.value:g} loss)" if o.weight else ""
            self.write(f"    {net} net output #{o.index}: {o.name} = {o.value:g}{loss}", source)
