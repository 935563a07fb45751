"""The loop: what runs when, and what is reported."""

import glob
import math

import numpy as np
import pytest
from tiny_solver import NET, Recorder, parameters, same

from layerforge.core.errors import NetError
from layerforge.core.random import Random
from layerforge.solver.interrupt import Request
from layerforge.solver.observer import Observers


def test_solve_runs_until_max_iter_and_finishes(make_solver):
    solver = make_solver()
    solver.solve()
    assert solver.iter == 6 and solver.observer.finished == [(6, None)] and not solver.stopped


def test_step_runs_so_many_iterations(make_solver):
    solver = make_solver()
    solver.step(4)
    solver.step(1)
    assert solver.iter == 5


def test_lr_is_that_of_the_next_update(make_solver):
    solver = make_solver("warmup_iter: 4")
    rates = []
    for _ in range(5):
        rates.append(solver.lr)
        solver.step(1)
    assert rates == pytest.approx([0, 0.025, 0.05, 0.075, 0.1])


def test_gradients_of_iter_size_batches_are_averaged(make_solver):
    """With constant data, two batches of one iteration are one batch."""
    net = NET.replace('data_filler { type: "gaussian" }', "data_filler { value: 0.5 }")
    one, two = make_solver("clip_gradients: 100", net), make_solver("iter_size: 2 clip_gradients: 100", net)
    for solver in (one, two):
        solver.step(3)
    for a, b in zip(parameters(one), parameters(two)):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_gradients_are_clipped_before_they_are_averaged(make_solver):
    net = NET.replace('data_filler { type: "gaussian" }', "data_filler { value: 0.5 }")
    solver = make_solver("iter_size: 2 clip_gradients: 0.01", net)
    before = parameters(solver)
    solver.step(1)
    moved = math.sqrt(sum(float(((a - b) ** 2).sum()) for a, b in zip(before, parameters(solver))))
    assert moved == pytest.approx(0.1 * 0.01 / 2, rel=1e-4)


def test_parameters_with_lr_mult_0_stay(make_solver):
    net = NET.replace('top: "ip"\n', 'top: "ip" param { lr_mult: 0 } param { lr_mult: 1 }\n')
    solver = make_solver("weight_decay: 0.5", net)
    before = parameters(solver)
    solver.step(2)
    after = parameters(solver)
    assert same(before[:1], after[:1]) and not same(before[1:], after[1:])


def test_decay_mult_scales_the_decay(make_solver):
    """Without a gradient (all data 0, labels ignored) only the decay moves W."""
    net = NET.replace('data_filler { type: "gaussian" }', "data_filler { value: 0 }").replace(
        'top: "ip"\n', 'top: "ip" param { decay_mult: 2 }\n')
    solver = make_solver("weight_decay: 0.5", net)
    before = parameters(solver)[0]
    solver.step(1)
    np.testing.assert_allclose(parameters(solver)[0], before * (1 - 0.1 * 0.5 * 2), rtol=1e-5)


def test_the_displayed_loss_is_the_mean_of_the_last_ones(make_solver):
    solver = make_solver("average_loss: 3 display: 1")
    solver.step(5)
    reports = solver.observer.reports
    last = [r.last_loss for r in reports]
    assert [r.loss for r in reports] == pytest.approx([np.mean(last[max(0, i - 2): i + 1]) for i in range(5)])


def test_outputs_come_with_log_lines_only(make_solver):
    solver = make_solver("display: 2")
    solver.step(3)
    outputs = [[(o.name, o.weight) for o in r.outputs] for r in solver.observer.reports]
    assert outputs == [[("loss", 1.0)], [], [("loss", 1.0)]]


def test_the_last_look_counts_one_more_batch(make_solver):
    solver = make_solver("display: 3")
    solver.solve()
    (iteration, loss), = solver.observer.finished
    assert iteration == 6 and math.isfinite(loss) and solver.observer.said("Iteration 6, loss = ")


TESTED = "test_iter: 2 test_interval: 3 "


def test_tests_run_at_the_interval_and_at_both_ends(make_solver):
    solver = make_solver(TESTED)
    solver.solve()
    assert [t.iteration for t in solver.observer.tests] == [0, 3, 6]


def test_the_first_test_can_be_left_out(make_solver):
    solver = make_solver(TESTED + "test_initialization: false")
    solver.solve()
    assert [t.iteration for t in solver.observer.tests] == [3, 6]


def test_each_test_net_runs_its_own_number_of_batches(make_solver):
    solver = make_solver("test_iter: [2, 3] test_interval: 100 test_compute_loss: true")
    forwards = [0, 0]
    for i, net in enumerate(solver.test_nets):
        net.hooks["before_forward"].append(lambda layer, i=i: forwards.__setitem__(i, forwards[i] + (layer == 0)))
    solver.step(1)
    assert forwards == [2, 3]
    assert [t.loss for t in solver.observer.tests] == pytest.approx([t.outputs[0].value for t in solver.observer.tests])


def test_test_nets_use_the_train_nets_parameters(make_solver):
    solver = make_solver(TESTED)
    solver.step(2)
    assert solver.test_nets[0].params["ip"][0].data is solver.net.params["ip"][0].data


def test_callbacks_surround_the_gradients(make_solver):
    solver, calls = make_solver(), []
    solver.add_callback(lambda: calls.append("start"), lambda: calls.append("ready"))
    solver.net.hooks["before_forward"].append(lambda layer: calls.append("forward") if layer == 0 else None)
    solver.step(1)
    assert calls == ["start", "forward", "ready"]


def test_apply_update_uses_the_gradients_that_are_there(make_solver):
    solver = make_solver()
    before = parameters(solver)
    for each in solver.net.learnable:
        each.blob.diff.set(np.ones(each.blob.count, np.float32))
    solver.apply_update()
    assert solver.iter == 1
    for a, b in zip(before, parameters(solver)):
        np.testing.assert_allclose(b, a - 0.1, rtol=1e-5)


def test_the_same_seed_gives_the_same_run(make_solver):
    runs = []
    for seed in (5, 5, 6):
        solver = make_solver(random_seed=None, rng=Random(seed))
        solver.step(3)
        runs.append(parameters(solver))
    assert same(runs[0], runs[1]) and not same(runs[0], runs[2])


def test_a_request_to_stop_ends_the_run_with_a_snapshot(make_solver, tmp_path):
    solver = make_solver("snapshot_after_train: false")
    solver.requests = lambda: Request.STOP if solver.iter == 2 else Request.NONE
    solver.solve()
    assert solver.stopped and solver.iter == 2 and not solver.observer.finished
    assert (tmp_path / "tiny_iter_2.solverstate").exists()
    assert solver.observer.said("--snapshot tiny_iter_2.solverstate")


def test_a_stopped_run_goes_on_when_asked_again(make_solver):
    solver = make_solver()
    solver.requests = lambda: Request.STOP if solver.iter == 2 else Request.NONE
    solver.solve()
    solver.requests = lambda: Request.NONE
    solver.solve()
    assert solver.iter == 6 and not solver.stopped


def test_several_observers_hear_the_same(make_solver):
    first, second = Recorder(), Recorder()
    solver = make_solver(TESTED, observer=Observers(first, second))
    solver.solve()
    assert first.__dict__ == second.__dict__ and first.tests and first.files and first.finished


def test_weights_of_the_text_are_loaded_and_can_be_overruled(make_solver):
    first = make_solver("snapshot: 3")
    first.step(3)
    fine = make_solver('weights: "tiny_iter_3.caffemodel"')
    fresh = make_solver('weights: "tiny_iter_3.caffemodel"', weights=())
    assert same(parameters(fine), parameters(first)) and not same(parameters(fresh), parameters(first))
    assert fine.observer.said("Finetuning from tiny_iter_3.caffemodel") and fine.iter == 0


NAN_NET = NET.replace('name: "relu" type: "ReLU" bottom: "ip" top: "ip"',
                      'name: "log" type: "Log" bottom: "ip" top: "log" log_param { shift: -100 }').replace(
    'type: "SoftmaxWithLoss" bottom: "ip"', 'type: "SoftmaxWithLoss" bottom: "log"')


def test_a_loss_that_is_not_finite_names_the_layer_it_began_in(make_solver):
    solver = make_solver("", NAN_NET)
    before = parameters(solver)
    with pytest.raises(NetError, match=r"^solver.prototxt:\d+: iteration 0: the loss is nan.*log' \(Log\): blob 'log'"):
        solver.step(1)
    assert solver.iter == 0 and same(before, parameters(solver))


def test_a_parameter_that_is_not_finite_is_named(make_solver):
    solver = make_solver()
    solver.net.params["ip"][1].data.set(np.array([0, np.inf, 0], np.float32))
    with pytest.raises(NetError, match=r"layer 'ip' \(InnerProduct\): parameter 1"):
        solver.step(1)


def test_parameters_that_are_not_finite_are_not_saved_over_older_ones(make_solver):
    solver = make_solver()
    solver.net.params["ip"][1].data.set(np.array([0, np.nan, 0], np.float32))
    with pytest.raises(NetError, match=r"not finite in layer 'ip' \(InnerProduct\): parameter 1"):
        solver.snapshot()
    assert not glob.glob("*.solverstate") and not glob.glob("*.caffemodel")


def test_allow_nan_goes_on(make_solver):
    solver = make_solver("", NAN_NET, allow_nan=True)
    solver.step(2)
    assert solver.iter == 2


def test_debug_info_tells_the_mean_magnitudes_of_everything(make_solver):
    solver = make_solver("debug_info: true display: 2 test_iter: 1 test_interval: 5")
    solver.step(2)
    words = [" ".join(m.split()).rsplit(":", 1)[0] for m in solver.observer.messages if "Layer" in m]
    forward = ["[Forward] Layer data, top blob data data", "[Forward] Layer data, top blob label data",
               "[Forward] Layer ip, top blob ip data", "[Forward] Layer ip, param blob 0 data",
               "[Forward] Layer ip, param blob 1 data", "[Forward] Layer relu, top blob ip data",
               "[Forward] Layer loss, top blob loss data"]
    backward = ["[Backward] Layer loss, bottom blob ip diff", "[Backward] Layer relu, bottom blob ip diff",
                "[Backward] Layer ip, param blob 0 diff", "[Backward] Layer ip, param blob 1 diff"]
    assert words == forward + forward + backward  # the test net always, the train net where it displays
    value = next(m for m in solver.observer.messages if "[Forward] Layer data, top blob label" in m).split()[-1]
    assert float(value) == 1


def test_debug_info_changes_no_number(make_solver):
    plain, debug = make_solver("display: 1"), make_solver("display: 1 debug_info: true")
    for solver in (plain, debug):
        solver.step(3)
    assert same(parameters(plain), parameters(debug))


def test_a_drawn_seed_is_told(make_solver):
    solver = make_solver(random_seed=None)
    assert solver.observer.said(f"The random seed is {solver.rng.seed}")
