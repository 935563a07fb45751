"""Whole iterations with cuDNN's layouts: weights that a recorded update moved are converted anew in every replay."""

import numpy as np
import pytest
from cpu_kernels import needs_compiler
from numpy_cudnn import NumpyRunner
from tape import TapeBackend
from tiny_solver import WEIGHTED, Recorder, histories, parameters, solver_text

from layerforge.core.storage import HOST
from layerforge.engines.cudnn.engine import CudnnEngine
from layerforge.schema.read import parse_solver
from layerforge.solver.loop import Solver

NET = 'name: "packed"' + WEIGHTED


@pytest.fixture(autouse=True)
def compiler():
    needs_compiler()


def make(fields, records, order="main last"):
    backend = TapeBackend(records, order)
    engines = [CudnnEngine(backend, NumpyRunner(backend), "BF16")]
    definition = parse_solver(solver_text(fields, NET), "solver.prototxt")
    return Solver(definition, backend=backend, engines=engines, observer=Recorder(), keep="outputs")


@pytest.mark.parametrize("between", [(), (1, 2, 5), (0, 3, 4)], ids=str)
@pytest.mark.parametrize("fields", ["", "iter_size: 2 test_iter: 1 test_interval: 2"])
def test_replay_equals_running_step_by_step_though_others_read_the_weights(fields, between):
    recorded, stepwise = make(fields, True), make(fields, False)
    for solver in (recorded, stepwise):
        for i in range(8):
            if i in between:
                solver.net.forward()
            solver.step(1)
    for mine, theirs in zip(parameters(recorded) + histories(recorded), parameters(stepwise) + histories(stepwise)):
        np.testing.assert_array_equal(mine, theirs)
    assert [r.last_loss for r in recorded.observer.reports] == [r.last_loss for r in stepwise.observer.reports]
    assert not recorded.iterations.reason and recorded.iterations.launches == 6 * recorded.params.iter_size


def test_a_replay_converts_the_weights_itself():
    solver = make("", True)
    solver.step(3)
    stream = solver.net.backend.stream
    solver.step(1)
    weights = solver.net.learnable[0].blob.data
    assert weights.fresh() == (solver.net.backend.representation,)
    before, put = stream.launches, []
    stream.do = lambda work, do=stream.do: (put.append(work), do(work))
    assert solver._iterate() and stream.launches == before + 1
    (taken,) = solver.iterations._parts[0]._taken.values()
    assert len(put) == len(taken.recording.graph._works) + 2  # the graph, its end, and the table of numbers
    assert weights.array(HOST).any()
