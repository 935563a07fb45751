"""Training in a packed arena, with parameters that move within backward: the recorded trajectories, and the same bits
as without packing."""

import numpy as np
import pytest
from golden_cases import GOLDEN, Compare, load, part, write

from layerforge.core.errors import NetError
from layerforge.core.random import Random
from layerforge.core.storage import HOST
from layerforge.graph.memory import Memory
from layerforge.schema.read import read_solver
from layerforge.solver.loop import Solver

CASES = sorted(path for path in (GOLDEN / "solvers").glob("*.npz") if not path.stem.startswith("Resume"))


@pytest.fixture(autouse=True)
def poison(monkeypatch, tmp_path):
    """Whatever is not written reads as NaN."""
    monkeypatch.setattr(Memory, "poison", True)
    monkeypatch.chdir(tmp_path)


def make(case, packs=True, engines=None):
    if str(case["feed"]) == "hdf5":
        import h5py

        with h5py.File("train.h5", "w") as file:
            for name, value in part(case, "data.").items():
                file[name] = value
        write("train.txt", "train.h5\n")
    write("net.prototxt", str(case["net"]))
    solver = Solver(read_solver(write("solver.prototxt", str(case["solver"]))), keep="outputs", rng=Random(1),
                    engines=engines)
    for key, value in part(case, "param.").items():
        parameter(solver, key).data.set(value)
    for net in (solver.net, *solver.test_nets):
        net.memory.packs = packs
    if not packs:
        solver.updater.early = False
    return solver


def parameter(solver, key):
    layer, index = key.rsplit(".", 1)
    return solver.net.params[layer][int(index)]


def follow(case, solver, compare=None):
    """The parameters and losses of all steps."""
    feed = part(case, "data.") if str(case["feed"]) == "input" else {}
    found = []
    wanted = part(case, "traj.")
    for k in range(len(next(iter(wanted.values())))):
        for blob, value in feed.items():
            solver.net.blobs[blob].data.set(value[k])
        solver.step(1)
        found += [parameter(solver, key).data.array(HOST).copy() for key in part(case, "param.")]
        found += [np.array(solver.losses)]
        if compare:
            for key, want in wanted.items():
                compare(f"{key} after step {k + 1}", parameter(solver, key).data.array(HOST).reshape(want[k].shape),
                        want[k])
    for name, want in part(case, "testout.").items():
        test = solver.test_nets[0]
        for blob, value in part(case, "testin.").items():
            test.blobs[blob].data.set(value)
        test.forward()
        if compare and name in test.outputs:
            compare(f"test net blob {name}", test.blobs[name].data.array(HOST).reshape(want.shape), want)
    solver.close()
    return found


@pytest.mark.parametrize("engines", [None, ()], ids=["engine", "layers"])
@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_recorded_trajectory_when_packed(path, engines):
    case = load(path)
    packed = follow(case, make(case, engines=engines), Compare(case))
    for a, b in zip(packed, follow(case, make(case, packs=False, engines=engines)), strict=True):
        np.testing.assert_array_equal(a, b)


def solver_of(name, **more):
    return make(load(GOLDEN / "solvers" / f"{name}.npz"), **more)


@pytest.mark.parametrize("name, early", [("SGD__momentum", True), ("Adam__decay", True), ("SGD__shared", True),
                                         ("SGD__clip", False), ("SGD__iter_size", False)])
def test_parameters_move_within_backward_unless_all_gradients_are_needed_at_once(name, early):
    solver = solver_of(name)
    assert solver.updater.early is early
    solver.close()


def test_a_gradient_whose_parameter_moved_early_is_not_kept():
    solver = solver_of("SGD__momentum")
    solver.step(2)
    with pytest.raises(NetError, match="not kept"):
        solver.net.learnable[0].blob.diff.array(HOST)
    solver.close()


def test_passes_without_an_update_or_a_clear_run_when_parameters_would_move_early():
    solver = solver_of("SGD__momentum")
    for _ in range(3):
        solver.net.forward()
        solver.net.backward()
    solver.step(1)
    solver.close()


def test_a_test_net_takes_the_parameters_of_every_update():
    case = dict(load(GOLDEN / "solvers" / "SGD__test_net.npz"))
    solver, seen = make(case), []
    for _ in range(3):
        solver.step(1)
        for blob, value in part(case, "testin.").items():
            solver.test_nets[0].blobs[blob].data.set(value)
        seen.append(solver.test_nets[0].forward())
    assert len(set(seen)) == 3
    with pytest.raises(NetError, match="forward only"):
        solver.test_nets[0].backward()
    solver.close()


def test_callbacks_see_all_gradients():
    solver, seen = solver_of("SGD__momentum"), []
    solver.add_callback(lambda: None, lambda: seen.append(
        [float(np.abs(each.blob.diff.array(HOST)).sum()) for each in solver.net.learnable]))
    solver.step(2)
    assert np.all(np.array(seen) > 0) and not solver.updater.early
    solver.close()


def test_a_loss_that_is_not_a_number_is_traced_to_its_layer_when_packed():
    solver = solver_of("SGD__momentum")
    solver.step(1)
    blob = solver.net.learnable[2].blob
    blob.data.set(np.full(blob.count, np.nan, np.float32))
    with pytest.raises(NetError, match=r"layer 'f2' \(InnerProduct\): parameter 0"):
        solver.step(1)
    solver.close()


def test_debug_info_keeps_every_blob():
    case = dict(load(GOLDEN / "solvers" / "SGD__momentum.npz"))
    case["solver"] = np.array(str(case["solver"]) + "\ndebug_info: true display: 1")
    solver = make(case)
    assert not solver.net.memory.packs or solver.net.keep == "all"
    solver.step(2)
    solver.close()
