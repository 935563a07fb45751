"""Solvers as pycaffe offers them."""

from __future__ import annotations

import gc
import logging
import os

import numpy as np
import pytest

import layerforge as caffe
from layerforge.core.errors import PrototxtError

from .conftest import SOLVER

CLASSES = {"SGD": caffe.SGDSolver, "Nesterov": caffe.NesterovSolver, "AdaGrad": caffe.AdaGradSolver,
           "RMSProp": caffe.RMSPropSolver, "AdaDelta": caffe.AdaDeltaSolver, "Adam": caffe.AdamSolver}


@pytest.mark.parametrize("name", CLASSES)
def test_get_solver_gives_the_class_of_the_type(make_solver, name):
    solver = make_solver(f'type: "{name}"', drop="momentum: 0.9" if name in ("AdaGrad", "RMSProp") else "\0")
    assert type(solver) is CLASSES[name]
    assert type(CLASSES[name]("solver.prototxt")) is CLASSES[name]


def test_another_class_than_the_type_is_refused(make_solver):
    with pytest.raises(PrototxtError, match="the solver's type is SGD, not Adam"):
        make_solver(make=caffe.AdamSolver)


def test_step_and_solve_count_iterations(make_solver):
    solver = make_solver()
    assert solver.iter == 0 and solver.lr == pytest.approx(0.1) and solver.param.max_iter == 6
    solver.step(2)
    assert solver.iter == 2
    solver.solve()
    assert solver.iter == 6


def test_training_lowers_the_loss(make_solver):
    solver = make_solver()
    solver.step(1)
    first = float(solver.net.blobs["loss"].data)
    solver.step(4)
    assert float(solver.net.blobs["loss"].data) < first


def test_a_loop_of_ones_own_gives_the_solvers_numbers(make_solver):
    whole, own = make_solver(), make_solver()
    whole.step(3)
    for _ in range(3):
        own.net.clear_param_diffs()
        own.net.forward()
        own.net.backward()
        own.apply_update()
    assert own.iter == 3
    np.testing.assert_array_equal(own.net.params["conv"][0].data, whole.net.params["conv"][0].data)


def test_callbacks_are_called_around_the_gradients(make_solver):
    solver, calls = make_solver(), []
    solver.add_callback(lambda: calls.append("start"), lambda: calls.append("gradients"))
    solver.step(2)
    assert calls == ["start", "gradients"] * 2


def test_snapshots_are_restored(make_solver):
    solver = make_solver()
    solver.step(3)
    solver.snapshot()
    assert {"small_iter_3.caffemodel", "small_iter_3.solverstate"} <= set(os.listdir())
    solver.step(2)
    other = make_solver()
    other.restore("small_iter_3.solverstate")
    assert other.iter == 3
    other.step(2)
    np.testing.assert_array_equal(other.net.params["ip"][0].data, solver.net.params["ip"][0].data)
    third = make_solver()
    third.solve("small_iter_3.solverstate")
    assert third.iter == 6


def test_nets_survive_their_solver(make_solver):
    solver = make_solver("test_iter: 1 test_interval: 100")
    net, test_nets = solver.net, solver.test_nets
    assert len(test_nets) == 1
    del solver
    gc.collect()
    for each in (net, *test_nets):
        each.forward()
    net.backward()


def test_share_weights_lets_another_net_follow(make_solver):
    solver = make_solver()
    other = caffe.Net("net.prototxt", caffe.TEST)
    solver.share_weights(other)
    solver.step(1)
    np.testing.assert_array_equal(other.params["conv"][0].data, solver.net.params["conv"][0].data)


def test_a_loss_that_is_no_number_does_not_end_a_scripts_run(make_solver):
    solver = make_solver()
    solver.net.params["ip"][0].data[...] = np.inf
    solver.step(2)
    assert solver.iter == 2 and not np.isfinite(solver.net.blobs["loss"].data)


def test_seeds_make_runs_repeatable(make_solver):
    def weights(seed):
        solver = make_solver(f"random_seed: {seed}", drop="random_seed: 3")
        return solver.net.params["conv"][0].data.copy()

    np.testing.assert_array_equal(weights(7), weights(7))
    assert (weights(7) != weights(8)).any()


def test_the_log_tells_the_run_in_caffes_words(make_solver, caplog):
    with caplog.at_level(logging.INFO, "layerforge"):
        solver = make_solver("display: 1", drop="display: 0")
        solver.solve()
    text = caplog.text
    assert "Initializing solver from parameters" in text and "Iteration 5 (" in text
    assert "Train net output #0: loss = " in text


def test_a_solver_text_can_be_edited_as_a_message(make_solver):
    from google.protobuf import text_format

    make_solver()
    message = text_format.Merge(SOLVER, caffe.proto.caffe_pb2.SolverParameter())
    assert message.max_iter == 6 and message.base_lr == pytest.approx(0.1)
