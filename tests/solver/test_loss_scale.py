"""FP16 training: the loss's gradient is scaled, an overflow moves nothing and halves the scale, patience doubles it."""

import numpy as np
import pytest
from cpu_kernels import needs_compiler
from numpy_cudnn import NumpyRunner
from tape import TapeBackend
from tiny_solver import WEIGHTED, Recorder, histories, parameters, same, solver_text

from layerforge.engines.cudnn.engine import CudnnEngine
from layerforge.schema.read import parse_solver
from layerforge.solver import loss_scale
from layerforge.solver.loop import Solver
from layerforge.solver.loss_scale import LossScale

NET = 'name: "scaled" compute_type: FP16' + WEIGHTED
BIG = 2.0**22  # times a gradient of the scores, beyond what a half holds


@pytest.fixture(autouse=True)
def compiler():
    needs_compiler()


@pytest.fixture(params=[False, True], ids=["step by step", "recorded"])
def records(request):
    return request.param


def make(fields="", records=False, kind="FP16", net=NET, **changed):
    backend = TapeBackend(records)
    engines = [CudnnEngine(backend, NumpyRunner(backend), kind, "outputs")]
    definition = parse_solver(solver_text(fields, net, **changed), "solver.prototxt")
    return Solver(definition, backend=backend, engines=engines, observer=Recorder(), keep="outputs")


def set_scale(solver, value, good=0):
    solver.loss_scale.value, solver.loss_scale.good = value, good
    solver.net.scale_losses(value)


def test_scale_halves_and_doubles():
    scale, seen = LossScale("FP16"), []
    scale.good = loss_scale.PATIENCE - 2
    for overflowed in (False, False, False, True, True):
        scale.advance(overflowed)
        seen.append((scale.value, scale.good))
    assert seen == [(2**16, 1999), (2**17, 0), (2**17, 1), (2**16, 0), (2**15, 0)]


def test_scale_stays_within_its_bounds():
    low, high = LossScale("FP16"), LossScale("FP16")
    low.value, high.value, high.good = 1.0, loss_scale.MOST, loss_scale.PATIENCE - 1
    low.advance(True)
    high.advance(False)
    assert (low.value, high.value) == (1.0, loss_scale.MOST)


@pytest.mark.parametrize("kind", ["FP32", "TF32", "BF16", ""])
def test_other_types_have_no_scale(kind):
    scale = LossScale(kind, 8.0)
    scale.advance(True)
    assert (scale.value, scale.active, scale.patience) == (1.0, False, -1)


@pytest.mark.parametrize("fields", ["", "iter_size: 2", "clip_gradients: 0.5", "weight_decay: 0.1"])
def test_scaled_training_is_training_where_nothing_is_rounded(fields, records):
    scaled = make(fields, records, "FP32")
    plain = make(fields, records, "FP32", NET.replace("compute_type: FP16", ""))
    for solver in (scaled, plain):
        solver.step(6)
    for mine, theirs in zip(parameters(scaled) + histories(scaled), parameters(plain) + histories(plain)):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)
    assert scaled.loss_scale.value == 2**16 and plain.loss_scale.value == 1


def test_overflow_moves_nothing_and_halves_the_scale(records):
    solver = make("momentum: 0.9", records, momentum=None)
    solver.step(4)
    set_scale(solver, BIG)
    before = parameters(solver) + histories(solver)
    solver.step(1)
    assert same(before, parameters(solver) + histories(solver)) and solver.iter == 5
    assert solver.loss_scale.value == BIG / 2 and solver.loss_scale.good == 0
    assert solver.observer.said(f"nothing moves in this iteration, the loss scale is now {BIG / 2:g}")
    solver.step(8)
    assert not same(before, parameters(solver) + histories(solver)) and solver.loss_scale.good > 0
    assert all(np.isfinite(each).all() for each in parameters(solver) + histories(solver))


def test_overflow_does_not_clip(records):
    solver = make("clip_gradients: 0.001", records)
    set_scale(solver, BIG)
    before = parameters(solver)
    solver.step(1)
    assert same(before, parameters(solver)) and not solver.observer.said("Gradient clipping")


def test_scale_doubles_after_patience(records, monkeypatch):
    monkeypatch.setattr(loss_scale, "PATIENCE", 3)
    solver, seen = make("", records), []
    set_scale(solver, 1024.0)
    for _ in range(7):
        solver.step(1)
        seen.append((solver.loss_scale.value, solver.loss_scale.good))
    assert seen == [(1024, 1), (1024, 2), (2048, 0), (2048, 1), (2048, 2), (4096, 0), (4096, 1)]


def test_given_scale_stays(records):
    solver = make("loss_scale: 4194304", records)
    before = parameters(solver)
    solver.step(3)
    assert same(before, parameters(solver)) and solver.loss_scale.value == BIG
    assert solver.observer.said("the loss scale stays 4.1943e+06")


def test_recorded_iterations_are_those_step_by_step():
    runs = [make("", records) for records in (True, False)]
    for solver in runs:
        set_scale(solver, BIG)
        solver.step(12)
    assert same(*(parameters(solver) + histories(solver) for solver in runs))
    states = [solver.loss_scale.state() for solver in runs]
    assert states[0] == states[1] and states[0][1] > 0 and runs[0].iterations.launches > 0
    assert [r.last_loss for r in runs[0].observer.reports] == [r.last_loss for r in runs[1].observer.reports]
    overflows = [[m for m in solver.observer.messages if "overflowed" in m] for solver in runs]
    assert overflows[0] == overflows[1] and overflows[0]


def test_resume_is_exact(records, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = make("", records)
    set_scale(first, BIG)
    first.step(7)
    path = first.snapshot()
    first.step(5)
    second = make("", records)
    second.restore(path)
    second.step(5)
    assert same(parameters(first) + histories(first), parameters(second) + histories(second))
    assert first.loss_scale.state() == second.loss_scale.state() != [2.0**16, 5]


def test_run_saved_without_a_scale_begins_with_the_first(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    saved = make(net=NET.replace("compute_type: FP16", ""), kind="FP32")
    saved.step(2)
    path = saved.snapshot()
    solver = make()
    solver.restore(path)
    assert solver.loss_scale.state() == [2.0**16, 0]


def test_saved_scale_beyond_the_bounds_is_taken_to_them():
    scale = LossScale("FP16")
    scale.load_state([2.0**30, 1])
    assert scale.value == loss_scale.MOST


def test_state_that_is_no_scale_is_refused():
    with pytest.raises(ValueError, match="a loss scale of -1"):
        LossScale("FP16").load_state([-1, 0])


def test_gradients_that_are_asked_for_carry_the_scale():
    solver, plain = make(kind="FP32"), make(kind="FP32", net=NET.replace("compute_type: FP16", ""))
    for each in (solver, plain):
        each.net.forward()
        each.net.backward()
    ours, theirs = (each.net.learnable[0].blob.diff.array() for each in (solver, plain))
    np.testing.assert_array_equal(ours, 2**16 * theirs)
