"""Recorded iterations: the same numbers as step by step, to the last bit, whatever changes from one to the next."""

import logging

import numpy as np
import pytest
from cpu_kernels import needs_compiler
from tape import TapeBackend, failing
from tiny_solver import SMALL as NET
from tiny_solver import Recorder, histories, parameters, solver_text

from layerforge.core.storage import HOST
from layerforge.layers.activation import ReLU
from layerforge.schema.read import parse_solver
from layerforge.solver.loop import Solver
from layerforge.solver.rules import RULES, Rule


@pytest.fixture(autouse=True)
def compiler():
    needs_compiler()


def make(fields="", net=NET, records=True, order="main first", **changed):
    backend = TapeBackend(records, order)
    observer = Recorder()
    definition = parse_solver(solver_text(fields, net, **changed), "solver.prototxt")
    return Solver(definition, backend=backend, observer=observer)


def same(one, other):
    for mine, theirs in zip(parameters(one) + histories(one), parameters(other) + histories(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert one.losses == other.losses and len(one.losses) == 1
    assert one.rng.state() == other.rng.state()


CASES = {
    "plain": {},
    "lr policy": dict(lr_policy='"inv"', fields="gamma: 0.3 power: 0.75"),
    "Adam": dict(fields='type: "Adam" momentum2: 0.99', lr_policy='"step"', weight_decay=0.01, max_iter=9),
    "Nesterov, L1": dict(fields='type: "Nesterov" regularization_type: "L1" weight_decay: 0.01'),
    "iter_size": dict(fields="iter_size: 3"),
    "clipping": dict(fields="clip_gradients: 0.05"),
    "LARS": dict(fields='type: "LARS"', weight_decay=0.01),
    "clipped LARS": dict(fields='type: "LARS" larc_policy: "clip"'),
}


@pytest.mark.parametrize("case", CASES)
def test_replay_equals_running_step_by_step(case):
    changed = {"fields": "", **CASES[case]}
    if case == "Adam":
        changed["fields"] += " gamma: 0.5 stepsize: 2"
    recorded, stepwise = make(**changed), make(records=False, **changed)
    for solver in (recorded, stepwise):
        solver.step(7)
    same(recorded, stepwise)
    assert recorded.iterations.launches >= 5 and not recorded.iterations.reason
    assert recorded.passes.launches == recorded.updater.moving.launches == 0
    assert stepwise.iterations is None and stepwise.passes.launches == 0
    assert "records nothing" in stepwise.passes.reasons[0]


def test_work_in_a_recording_is_not_done_twice():
    solver = make()
    solver.step(2)
    before = parameters(solver)
    solver.step(1)  # recorded and launched once
    assert solver.iterations.launches == 1
    assert all((a != b).any() for a, b in zip(before[:2], parameters(solver)[:2]))


def test_values_that_the_host_writes_reach_the_replay():
    solvers = [make(), make(records=False)]
    for solver in solvers:
        solver.step(5)
        blob = solver.net.learnable[0].blob
        blob.data.set(np.full(blob.shape, 0.25, np.float32))
        solver.step(3)
    same(*solvers)


def test_arrays_that_users_hold_stay_live():
    solvers = [make(), make(records=False)]
    held = [solver.net.learnable[0].blob.data.lend() for solver in solvers]
    for solver, array in zip(solvers, held):
        solver.step(4)
        array[...] += 0.5
        solver.step(3)
        np.testing.assert_array_equal(array, parameters(solver)[0].reshape(-1))
    np.testing.assert_array_equal(*held)
    assert solvers[0].iterations.launches == 5


def test_restored_run_draws_what_it_would_have_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    solvers = [make(), make(records=False)]
    for solver in solvers:
        solver.step(4)
        path = solver.snapshot()
        solver.step(2)
        solver.restore(path)
        solver.step(3)
        assert solver.iter == 7
    same(*solvers)


def test_another_seed_is_recorded_anew():
    solver, other = make(), make(records=False)
    for each in (solver, other):
        each.step(4)
        each.rng.load_state(77, each.rng.state())
        each.step(4)
    same(solver, other)


def test_reshape_is_recorded_anew():
    input_net = NET.replace('type: "DummyData" top: "data" top: "label"', 'type: "Input" top: "data" top: "label"')
    input_net = input_net.replace("dummy_data_param { shape", "input_param { shape")
    input_net = input_net.replace('data_filler { type: "gaussian" } data_filler { value: 1 } }', "}")
    input_net = input_net.replace("shape { dim: 2 }\n", "shape { dim: 2 }")
    solvers = [make(net=input_net), make(net=input_net, records=False)]
    rng = np.random.default_rng(3)
    batches = [rng.normal(size=(n, 2, 6, 6)).astype(np.float32) for n in (2, 2, 2, 2, 4, 4, 4, 4, 1)]
    for solver in solvers:
        for batch in batches:
            net = solver.net
            net.blobs["data"].reshape(batch.shape)
            net.blobs["label"].reshape((len(batch),))
            net.blobs["data"].data.set(batch)
            solver.step(1)
    same(*solvers)
    assert solvers[0].iterations.launches == 4  # two of each size that came four times


def test_test_nets_are_recorded():
    fields = "test_iter: 2 test_interval: 1"
    recorded, stepwise = make(fields), make(fields, records=False)
    for solver in (recorded, stepwise):
        solver.step(4)
    same(recorded, stepwise)
    assert recorded.test_passes[0].launches == 6
    tests = [solver.observer.tests for solver in (recorded, stepwise)]
    assert [t.outputs for t in tests[0]] == [t.outputs for t in tests[1]]


def test_layer_on_the_host_in_the_middle_is_named_as_the_reason(monkeypatch, caplog):
    monkeypatch.setattr(ReLU, "captured", False)
    monkeypatch.setattr(ReLU, "uncaptured_reason", "asks the user", raising=False)
    with caplog.at_level(logging.WARNING, "layerforge"):
        solver = make()
    assert "the passes of 'small' are not recorded as CUDA graphs: layer 'relu' (ReLU) asks the user" in caplog.text
    solver.step(4)
    assert solver.passes.reasons == ["layer 'relu' (ReLU) asks the user"]
    assert solver.passes.launches == 0 and solver.updater.moving.launches == 2


class Signs(Rule):
    """w ← w - lr · sign(g), with arrays made on the way."""

    name, histories = "Signs", 0

    def update(self, ops, w, g, history, step):
        w -= step.lr * np.sign(self.regular(w, g, step))


def test_rule_that_makes_arrays_is_run_step_by_step(caplog, monkeypatch):
    monkeypatch.setitem(RULES, "Signs", Signs)
    fields = 'type: "Signs"'
    recorded, stepwise = make(fields), make(fields, records=False)
    with caplog.at_level(logging.WARNING, "layerforge"):
        for solver in (recorded, stepwise):
            solver.step(5)
    same(recorded, stepwise)
    assert "'small' are not recorded as one CUDA graph each: the rule 'Signs' is the user's own" in caplog.text
    assert recorded.iterations.launches == recorded.updater.moving.launches == 0 and recorded.passes.launches == 3


def test_refusal_of_cuda_is_shown_and_nothing_is_lost(caplog):
    recorded, stepwise = make(), make(records=False)
    with failing(recorded.net.backend), caplog.at_level(logging.WARNING, "layerforge"):
        recorded.step(5)
    stepwise.step(5)
    same(recorded, stepwise)
    assert "operation not permitted when stream is capturing" in recorded.iterations.reason
    assert "the iteration is not recorded as a CUDA graph: CUDA refuses: operation" in caplog.text
    assert recorded.iterations.launches == 0


def test_hooks_run_step_by_step():
    solver, called = make(), []
    solver.net.hooks["after_forward"].append(called.append)
    solver.step(4)
    assert len(called) == 4 * len(solver.net.layers)
    assert solver.passes.launches == solver.iterations.launches == 0


def test_gradients_are_those_of_the_last_replay():
    solvers = [make(), make(records=False)]
    for solver in solvers:
        solver.step(5)
    for mine, theirs in zip(solvers[0].net.learnable, solvers[1].net.learnable):
        np.testing.assert_array_equal(mine.blob.diff.array(HOST), theirs.blob.diff.array(HOST))
