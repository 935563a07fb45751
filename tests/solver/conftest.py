"""Small solvers to train in a test's own folder."""

import pytest
from tiny_solver import FIELDS, NET, Recorder, solver_text

from layerforge.schema.read import parse_solver
from layerforge.solver.loop import Solver


@pytest.fixture
def make_solver(tmp_path, monkeypatch):
    """make_solver(more fields, net, one of FIELDS=..., argument of Solver=...) in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    made = []

    def make(fields="", net=NET, **how):
        changed = {name: how.pop(name) for name in FIELDS if name in how}
        how.setdefault("observer", Recorder())
        made.append(Solver(parse_solver(solver_text(fields, net, **changed), "solver.prototxt"), **how))
        return made[-1]

    yield make
    for solver in made:
        solver.close()
