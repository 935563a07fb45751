"""The solvers as pycaffe offers them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from layerforge.core.errors import PrototxtError
from layerforge.pycaffe import modes
from layerforge.pycaffe.display import History, html_of
from layerforge.pycaffe.net import Net
from layerforge.schema.read import read_solver
from layerforge.solver.loop import Solver as CoreSolver
from layerforge.solver.observer import Report, TestReport


class Observed(modes.Logged):
    """Tells the log, and keeps what the curves need."""

    def __init__(self) -> None:
        super().__init__()
        self.history = History()

    def on_iteration(self, report: Report) -> None:
        super().on_iteration(report)
        self.history.iteration(report)

    def on_test(self, report: TestReport) -> None:
        super().on_test(report)
        self.history.test(report)


class Solver:
    """A solver made from a solver prototxt. `net` and `test_nets` are live; what Caffe would log goes to the log."""

    _type: str | None = None

    def __init__(self, solver_file: str | os.PathLike[str]) -> None:
        definition = read_solver(os.fspath(solver_file))
        self._observer = Observed()
        self._solver = CoreSolver(definition, backend=modes.backend(), rng=modes.random(), observer=self._observer,
                                  allow_nan=True)  # a script sees the loss, and Caffe goes on
        if self._type is not None and self._solver.rule.name != self._type:
            raise PrototxtError(f"the solver's type is {self._solver.rule.name}, not {self._type}",
                                where=definition.where, hint=f"use get_solver, or write type: \"{self._type}\"")
        self.net = Net.of(self._solver.net)
        self.test_nets = [Net.of(net) for net in self._solver.test_nets]

    def __repr__(self) -> str:
        return f"<{self._solver.rule.name} solver of {self.net.name!r} at iteration {self.iter}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: progress and curves."""
        return html_of(self._solver, self._observer.history)

    @property
    def iter(self) -> int:
        return self._solver.iter

    @property
    def lr(self) -> float:
        return self._solver.lr

    @property
    def param(self) -> Any:
        """The solver's fields: max_iter, display, …"""
        return self._solver.params

    def step(self, iterations: int) -> None:
        """Runs so many iterations: tests, forward, backward, update, snapshots."""
        self._solver.step(iterations)

    def solve(self, resume_file: str | None = None) -> None:
        """Runs to max_iter, from a solver state if one is given."""
        if resume_file:
            self.restore(resume_file)
        self._solver.solve()

    def restore(self, state_file: str | os.PathLike[str]) -> None:
        """Goes on from a .solverstate (binary or HDF5)."""
        self._solver.restore(os.fspath(state_file))

    def snapshot(self) -> None:
        """Writes weights and state."""
        self._solver.snapshot()

    def share_weights(self, net: Net) -> None:
        """Lets another net use the parameters of this solver's net."""
        net.share_with(self.net)

    def apply_update(self) -> None:
        """Updates the parameters from their gradients."""
        self._solver.apply_update()

    def add_callback(self, on_start: Callable[[], None], on_gradients_ready: Callable[[], None]) -> None:
        """Calls the first at the start of every iteration, the second before its update."""
        self._solver.add_callback(on_start, on_gradients_ready)


class SGDSolver(Solver):
    _type = "SGD"


class NesterovSolver(Solver):
    _type = "Nesterov"


class AdaGradSolver(Solver):
    _type = "AdaGrad"


class RMSPropSolver(Solver):
    _type = "RMSProp"


class AdaDeltaSolver(Solver):
    _type = "AdaDelta"


class AdamSolver(Solver):
    _type = "Adam"


_SOLVERS = (SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver)
_CLASSES = {cls._type: cls for cls in _SOLVERS}


def get_solver(solver_file: str | os.PathLike[str]) -> Solver:
    """The solver of the type that the file names."""
    made = Solver(solver_file)
    made.__class__ = _CLASSES.get(made._solver.rule.name, Solver)
    return made
