"""Whole iterations on a device: one launch each, no look from the host, and the same numbers as step by step."""

import logging

import numpy as np
import pytest
from cpu_kernels import needs_compiler
from streams import ORDERS
from tape import TapeBackend
from tiny_solver import SMALL as NET
from tiny_solver import Recorder, histories, parameters, solver_text

from layerforge.backends.cupy.control import Control
from layerforge.core.errors import NetError
from layerforge.schema.read import parse_solver
from layerforge.solver import iterations
from layerforge.solver.loop import Solver
from layerforge.solver.rules import RULES

LITTLE = """
name: "little"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 }
                     data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } bias_filler { value: 0.1 } } }
layer { name: "drop" type: "Dropout" bottom: "ip" top: "ip" }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "data" top: "loss" loss_weight: 0.3 }
"""


@pytest.fixture(autouse=True)
def compiler():
    needs_compiler()


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A slow computer must not make the host look."""
    monkeypatch.setattr(iterations, "PATIENCE_SECONDS", 1e9)


def make(fields="", net=LITTLE, records=True, order="main first", **changed):
    backend = TapeBackend(records, order)
    definition = parse_solver(solver_text(fields, net, **changed), "solver.prototxt")
    return Solver(definition, backend=backend, observer=Recorder())


def spoil(solver, *batches):
    """Puts NaN into these batches of the train net, counted from 0."""
    layer, count = solver.net.layers[0], iter(range(1000))
    fill = layer.forward

    def forward(bottom, top):
        fill(bottom, top)
        if next(count) in batches:
            top[0].data.reshape(-1)[0] = np.nan

    layer.forward = forward


def told(solver):
    """All that the observer was told, without times."""
    seen = solver.observer
    reports = [(r.iteration, r.loss, r.last_loss, r.lr, r.display, r.outputs) for r in seen.reports]
    tests = [(t.iteration, t.outputs, t.loss) for t in seen.tests]
    return reports, tests, [m for m in seen.messages if "Snapshotting" not in m]


def same(one, other):
    for mine, theirs in zip(parameters(one) + histories(one), parameters(other) + histories(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert told(one) == told(other)
    assert list(one.losses) == list(other.losses) and one.rng.state() == other.rng.state() and one.iter == other.iter


EXTRA = {
    "SGD": dict(momentum=0.9),
    "Nesterov": dict(momentum=0.9),
    "AdaGrad": dict(momentum=0),
    "RMSProp": dict(momentum=0, fields="rms_decay: 0.95"),
    "AdaDelta": dict(momentum=0.95, fields="delta: 1e-5"),
    "Adam": dict(momentum=0.9, fields="momentum2: 0.99"),
    "AdamW": dict(momentum=0.9, fields="momentum2: 0.99"),
    "LARS": dict(momentum=0.9),
}
DEMANDS = {
    "plain": "",
    "clipped": "clip_gradients: 0.05",
    "two batches": "iter_size: 2",
    "four batches, clipped": "iter_size: 4 clip_gradients: 0.05",
}


def test_every_rule_is_here():
    assert set(EXTRA) == {name for name, rule in RULES.items() if rule.__module__ == "layerforge.solver.rules"}


@pytest.mark.parametrize("demand", DEMANDS)
@pytest.mark.parametrize("rule", EXTRA)
def test_replay_equals_running_step_by_step(rule, demand):
    given = {**EXTRA[rule], "weight_decay": 0.01, "lr_policy": '"inv"'}
    fields = f'type: "{rule}" gamma: 0.3 power: 0.75 display: 4 average_loss: 3 {DEMANDS[demand]} '
    given["fields"] = fields + given.get("fields", "")
    recorded, stepwise = make(**given), make(**given, records=False)
    for solver in (recorded, stepwise):
        solver.step(6)
    same(recorded, stepwise)
    assert recorded.iterations.launches == {1: 4, 2: 4 + 4, 4: 4 + 10 + 4}[recorded.params.iter_size]
    assert not recorded.iterations.reason


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [1, 3])
def test_batches_arrive_in_time_whatever_the_order_of_the_streams(order, size):
    given = dict(fields=f"iter_size: {size} test_iter: 2 test_interval: 5")
    recorded, stepwise = make(**given, order=order), make(**given, records=False)
    for solver in (recorded, stepwise):
        solver.step(12)
    same(recorded, stepwise)


@pytest.mark.parametrize("size", [1, 2])
def test_an_iteration_is_one_launch_a_batch_and_the_host_looks_at_nothing(size):
    solver = make(f"display: 50 average_loss: 4 clip_gradients: 0.05 iter_size: {size}", order="main last")
    solver.step(7)
    stream = solver.net.backend.stream
    looks, launches = stream.device.looks, stream.launches
    for i in range(1, 6):
        assert solver._iterate()
        assert (stream.device.looks - looks, stream.launches - launches) == (0, i * size)
        assert stream.launches > stream.finished  # it is still at work


def stopped(size=1, records=True, at=(), order="main first", fields="", **changed):
    """A solver whose run a batch with NaN in it has ended, its parameters before that batch, and the error."""
    solver = make(f"iter_size: {size} {fields}", records=records, order=order, **changed)
    spoil(solver, *at)
    with pytest.raises(NetError) as caught:
        solver.step(at[-1] // size + 4)
    return solver, str(caught.value)


@pytest.mark.parametrize("order", ["main first", "main last", "chance 1"])
@pytest.mark.parametrize("size, at", [(1, 0), (1, 2), (1, 9), (3, 6), (3, 13), (3, 14)])
def test_loss_that_is_not_finite_stops_the_run_before_it_moves_anything(size, at, order):
    recorded, message = stopped(size, at=[at], order=order)
    stepwise, expected = stopped(size, records=False, at=[at])
    assert message == expected and f"iteration {at // size}: the loss is nan" in message
    for mine, theirs in zip(parameters(recorded) + histories(recorded), parameters(stepwise) + histories(stepwise)):
        np.testing.assert_array_equal(mine, theirs)
    assert told(recorded) == told(stepwise)
    assert recorded.iter == stepwise.iter == at // size and list(recorded.losses) == list(stepwise.losses)


def test_layer_that_lost_its_numbers_is_named_though_later_batches_are_fine():
    recorded, message = stopped(at=[5], net=NET)
    _, expected = stopped(at=[5], net=NET, records=False)
    assert message == expected and "'data'" in message


def test_first_loss_that_is_not_finite_is_the_one_that_is_said():
    _, message = stopped(at=[5, 6, 9])
    assert "iteration 5" in message


def test_nothing_is_saved_after_a_loss_that_is_not_finite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    solver, _ = stopped(at=[5], fields="snapshot: 3")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["tiny_iter_3.caffemodel", "tiny_iter_3.solverstate"]
    assert solver.iter == 5


def test_no_test_runs_after_a_loss_that_is_not_finite():
    solver, _ = stopped(at=[5], fields="test_iter: 1 test_interval: 6")
    assert [test.iteration for test in solver.observer.tests] == [0]


def test_run_can_go_on_after_a_loss_that_is_not_finite():
    solver, _ = stopped(at=[5])
    before = parameters(solver)
    solver.step(4)
    assert solver.iter == 9 and all((a != b).any() for a, b in zip(before, parameters(solver)))


def test_loss_that_is_not_finite_is_allowed_where_that_was_asked_for():
    solvers = [make("display: 4"), make("display: 4", records=False)]
    for solver in solvers:
        solver.allow_nan = True
        solver.step(3)
        spoil(solver, 2)
        solver.step(5)
    assert np.isnan(parameters(solvers[0])[0]).any() and solvers[0].iter == 8
    assert str(told(solvers[0])) == str(told(solvers[1]))


def test_error_of_an_earlier_iteration_comes_before_that_of_a_later_one():
    solver = make()
    solver.step(3)
    spoil(solver, 1)
    count, prepare = iter(range(9)), solver.passes.prepare

    def broken():
        if next(count) == 4:
            raise OSError("the disk is gone")
        return prepare()

    solver.passes.prepare = broken
    with pytest.raises(NetError, match="iteration 4: the loss is nan") as caught:
        solver.step(9)
    assert isinstance(caught.value.__context__, OSError)


def test_judgements_are_read_before_the_device_runs_out_of_rows(monkeypatch):
    monkeypatch.setattr(Control, "rows", 4)
    recorded, stepwise = make("average_loss: 20"), make("average_loss: 20", records=False)
    for solver in (recorded, stepwise):
        solver.step(11)
    same(recorded, stepwise)


def test_judgements_are_read_when_time_has_passed(monkeypatch):
    solver = make()
    solver.step(3)
    monkeypatch.setattr(iterations, "PATIENCE_SECONDS", -1)
    assert solver._iterate() and [report.iteration for report in solver.observer.reports] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "fields", ["iter_size: 2", "clip_gradients: 0.05", 'lr_policy: "multistep" stepvalue: 3 gamma: 0.5']
)
def test_resumed_run_equals_the_uninterrupted_one(fields, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fields += " display: 3 average_loss: 4 test_iter: 1 test_interval: 4"
    policy = None if "multistep" in fields else '"fixed"'
    whole, rest = make(fields, lr_policy=policy, order="main last"), make(fields, lr_policy=policy, order="chance 2")
    whole.step(5)
    state = whole.snapshot()
    whole.step(6)
    rest.restore(state)
    rest.step(6)
    for mine, theirs in zip(parameters(rest) + histories(rest), parameters(whole) + histories(whole), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert told(rest)[0] == told(whole)[0][5:] and rest.rng.state() == whole.rng.state()
    assert rest.iterations.launches


def test_restored_run_is_not_recorded_anew(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recorded, stepwise = make("clip_gradients: 0.05"), make("clip_gradients: 0.05", records=False)
    for solver in (recorded, stepwise):
        solver.step(4)
        path = solver.snapshot()
        solver.step(3)
        solver.restore(path)
        solver.step(3)
    same(recorded, stepwise)
    assert recorded.iterations.launches == 4 - 2 + 3 + 3


POLICIES = {
    "fixed": "",
    "step": "stepsize: 2 gamma: 0.5",
    "exp": "gamma: 0.9",
    "inv": "gamma: 0.3 power: 0.75",
    "multistep": "stepvalue: 2 stepvalue: 4 stepvalue: 4 gamma: 0.5",
    "poly": "power: 2",
    "sigmoid": "stepsize: 3 gamma: 0.5",
    "cosine": "warmup_iter: 2 warmup_start_lr: 0.01",
}


@pytest.mark.parametrize("policy", POLICIES)
def test_rate_of_every_policy_reaches_the_replay(policy):
    given = dict(fields=POLICIES[policy] + " display: 1 momentum_policy: \"poly\" max_momentum: 0.95 momentum_power: 1",
                 lr_policy=f'"{policy}"', max_iter=9)
    recorded, stepwise = make(**given), make(**given, records=False)
    for solver in (recorded, stepwise):
        solver.step(7)
    same(recorded, stepwise)
    assert recorded.iterations.launches == 5


def test_policy_that_looks_at_the_loss_leaves_the_update_a_recording_of_its_own(caplog):
    given = dict(fields="plateau_winsize: 2 plateau_winsize: 2 gamma: 0.1", lr_policy='"plateau"')
    recorded, stepwise = make(**given), make(**given, records=False)
    for solver in (recorded, stepwise):
        solver.step(7)
    same(recorded, stepwise)
    assert "'little' are not recorded as one CUDA graph each: lr_policy: 'plateau' looks at the loss" in caplog.text
    assert (recorded.iterations.launches, recorded.passes.launches, recorded.updater.moving.launches) == (0, 5, 5)


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.WARNING, "layerforge")
    return caplog


def test_callbacks_leave_the_update_a_recording_of_its_own(log):
    recorded, stepwise, calls = make(), make(records=False), []
    for solver in (recorded, stepwise):
        solver.step(4)
        solver.add_callback(lambda: calls.append("start"), lambda: calls.append("ready"))
        solver.step(5)
    same(recorded, stepwise)
    assert calls == ["start", "ready"] * 10
    assert log.text.count("callbacks run between the gradients and the update") == 1
    assert recorded.passes.launches == recorded.updater.moving.launches == 3


def test_iterations_on_display_run_layer_by_layer_with_debug_info(log):
    given = dict(fields="display: 3 debug_info: true")
    recorded, stepwise = make(**given), make(**given, records=False)
    for solver in (recorded, stepwise):
        solver.step(8)
    same(recorded, stepwise)
    assert "debug_info looks at every layer" in log.text
    assert recorded.iterations.launches == 5 - 2


def test_hooks_that_come_and_go(log):
    recorded, stepwise, called = make(), make(records=False), []
    for solver in (recorded, stepwise):
        solver.step(4)
        solver.net.hooks["after_forward"].append(called.append)
        solver.step(2)
        solver.net.hooks["after_forward"].clear()
        solver.step(3)
    same(recorded, stepwise)
    assert len(called) == 4 * len(recorded.net.layers)
    assert "hooks are called between layers" in log.text and recorded.iterations.launches == 4 - 2 + 3


def test_input_that_a_user_writes_is_sent_and_the_users_array_stays():
    net = LITTLE.replace("DummyData", "Input").replace("dummy_data_param", "input_param")
    net = net.replace('data_filler { type: "gaussian" } data_filler { value: 1 }', "")
    recorded, stepwise = make(net=net, order="main last"), make(net=net, records=False)
    for solver in (recorded, stepwise):
        rng, held = np.random.default_rng(1), solver.net.blobs["data"].data.lend()
        for _ in range(6):
            held[...] = values = rng.normal(size=6)
            solver.step(1)
            np.testing.assert_array_equal(held, values.astype(np.float32))
    same(recorded, stepwise)
    assert recorded.iterations.launches == 4


def test_loss_on_the_host_is_a_reason(log):
    net = LITTLE + """layer { name: "extra" type: "DummyData" top: "cost" loss_weight: 1
        dummy_data_param { shape { dim: 1 } } }"""
    first = net.index('layer { name: "ip"')
    last = net.index('layer { name: "extra"')
    solver = make(net=net[:first] + net[last:] + net[first:last])
    solver.step(3)
    assert solver.iterations.reason == "a layer on the host has a loss"


def test_several_runs_on_one_device_do_not_meet():
    one, other = make(), make(records=False)
    backend = one.net.backend
    second = Solver(parse_solver(solver_text("", LITTLE), "solver.prototxt"), backend=backend, observer=Recorder())
    spoil(second, 7)
    for i in range(9):
        one.step(1)
        other.step(1)
        if i < 7:
            second.step(1)
        elif i == 7:
            with pytest.raises(NetError):
                second.step(1)
    same(one, other)


def test_memory_that_layers_declare_anew_leads_to_another_recording():
    recorded, stepwise = make(), make(records=False)
    for solver in (recorded, stepwise):
        solver.step(4)
        solver.net.reshape()
        solver.step(4)
    same(recorded, stepwise)
    assert recorded.iterations.launches == 2 + 2
