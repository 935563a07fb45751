"""What a run reports, and to whom: the command line draws it, a log writes it, tests count it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from layerforge.core.storage import HOST

if TYPE_CHECKING:
    from layerforge.net.net import Net
    from layerforge.solver.loop import Solver


@dataclass(frozen=True)
class Output:
    """One number that a net puts out.

    index   its place among all numbers of all outputs
    name    the blob it belongs to
    weight  the blob's weight in the loss, 0 for others
    """

    index: int
    name: str
    value: float
    weight: float = 0.0


@dataclass(frozen=True)
class Report:
    """One iteration, after its gradients are known and before the parameters move.

    loss        mean over the last average_loss iterations
    last_loss   of this iteration alone
    display     whether the solver asks for a log line; only then there are outputs
    every       iterations between two log lines
    seconds     since the last log line
    iterations  since the last log line
    """

    iteration: int
    max_iter: int
    loss: float
    last_loss: float
    lr: float
    display: bool = False
    every: int = 0
    outputs: Sequence[Output] = ()
    seconds: float = 0.0
    iterations: int = 0

    @property
    def rate(self) -> float:
        """Iterations per second since the last log line."""
        return self.iterations / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class TestReport:
    """The means of one test net over its batches. loss: None unless test_compute_loss is set."""

    __test__ = False  # no test class, whatever its name begins with

    iteration: int
    net: int
    outputs: Sequence[Output]
    loss: float | None
    seconds: float


class Observer:
    """Receives what happens; every method may be left out."""

    def on_start(self, solver: Solver) -> None:
        """`solve` begins."""

    def on_iteration(self, report: Report) -> None:
        """An iteration has its loss."""

    def on_test_start(self, iteration: int, net: int) -> None:
        """Test net number `net` begins."""

    def on_test(self, report: TestReport) -> None:
        """A test net is done."""

    def on_snapshot(self, path: str, kind: str, file_format: str) -> None:
        """A file is about to be written. kind: "weights" or "state"; file_format: "BINARYPROTO" or "HDF5"."""

    def on_message(self, text: str, source: str = "solver.cpp") -> None:
        """A line for the log. source: the file and line of Caffe that say such things, for parsers of its logs."""

    def on_finish(self, iteration: int, loss: float | None) -> None:
        """max_iter is reached, the last test done. loss: after one more batch, where display divides max_iter."""


class Observers(Observer):
    """Passes everything on to several."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = list(observers)

    def on_start(self, solver: Solver) -> None:
        for each in self.observers:
            each.on_start(solver)

    def on_iteration(self, report: Report) -> None:
        for each in self.observers:
            each.on_iteration(report)

    def on_test_start(self, iteration: int, net: int) -> None:
        for each in self.observers:
            each.on_test_start(iteration, net)

    def on_test(self, report: TestReport) -> None:
        for each in self.observers:
            each.on_test(report)

    def on_snapshot(self, path: str, kind: str, file_format: str) -> None:
        for each in self.observers:
            each.on_snapshot(path, kind, file_format)

    def on_message(self, text: str, source: str = "solver.cpp") -> None:
        for each in self.observers:
            each.on_message(text, source)

    def on_finish(self, iteration: int, loss: float | None) -> None:
        for each in self.observers:
            each.on_finish(iteration, loss)


def outputs(values: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> Iterator[Output]:
    """Every number of every blob, counted through."""
    index = 0
    for name, array in values.items():
        for value in array.reshape(-1).tolist():
            yield Output(index, name, value, weights.get(name, 0.0))
            index += 1


def outputs_of(net: Net) -> Iterator[Output]:
    """What a net puts out now, in Caffe's order."""
    return outputs({name: net.blobs[name].data.array(HOST) for name in net.outputs}, net.loss_weights)
