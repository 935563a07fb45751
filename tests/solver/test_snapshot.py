"""Snapshots: names, formats, the order of the two files, and what happens when saving fails."""

import errno
import os

import numpy as np
import pytest
from tiny_solver import NET, histories, parameters, same

from layerforge.core.errors import DataError
from layerforge.io.state import read_state, write_state
from layerforge.io.weights import read_weights
from layerforge.schema.read import parse_solver
from layerforge.solver.params import SolverParams
from layerforge.solver.snapshot import Prefix


def prefix(text, file="net/solver.prototxt"):
    return Prefix(SolverParams.from_definition(parse_solver(text, file)), file)


def states(p):
    return p.path(p.names(7, "BINARYPROTO")[1])


def test_the_prefix_is_the_solver_files_name_by_default():
    assert prefix("").names(7, "HDF5") == ("net/solver_iter_7.caffemodel.h5", "net/solver_iter_7.solverstate.h5")


def test_a_folder_as_prefix_gets_the_solver_files_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "snaps").mkdir()
    assert states(prefix('snapshot_prefix: "snaps"')) == "snaps/solver_iter_7.solverstate"


def test_a_prefix_is_relative_to_the_working_folder_then_to_the_solver(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net" / "snaps").mkdir(parents=True)
    assert states(prefix('snapshot_prefix: "snaps/a"')) == "net/snaps/a_iter_7.solverstate"
    (tmp_path / "snaps").mkdir()
    assert states(prefix('snapshot_prefix: "snaps/a"')) == "snaps/a_iter_7.solverstate"


def test_a_missing_folder_is_told_before_training(make_solver):
    with pytest.raises(DataError, match=r"^solver.prototxt:1: solver: snapshot_prefix: 'none/x': there is no folder"):
        make_solver("snapshot: 2", snapshot_prefix='"none/x"')


@pytest.mark.parametrize("file_format, ending", [("BINARYPROTO", ""), ("HDF5", ".h5")])
def test_both_formats_come_back(make_solver, file_format, ending, tmp_path):
    first = make_solver(f"snapshot_format: {file_format}")
    first.step(3)
    assert first.snapshot() == f"tiny_iter_3.solverstate{ending}"
    assert sorted(os.listdir(tmp_path)) == [f"tiny_iter_3.caffemodel{ending}", f"tiny_iter_3.solverstate{ending}"]
    second = make_solver()
    second.restore(f"tiny_iter_3.solverstate{ending}")
    assert second.iter == 3
    assert same(parameters(first), parameters(second)) and same(histories(first), histories(second))


def test_the_state_names_the_weights_as_the_prefix_gives_them(make_solver):
    solver = make_solver()
    assert read_state(solver.snapshot()).learned_net == "tiny_iter_0.caffemodel"


def test_weights_beside_a_moved_state_are_found(make_solver, tmp_path, monkeypatch):
    solver = make_solver()
    solver.step(1)
    solver.snapshot()
    (tmp_path / "moved").mkdir()
    for name in ("tiny_iter_1.caffemodel", "tiny_iter_1.solverstate"):
        os.rename(name, tmp_path / "moved" / name)
    other = make_solver()
    other.restore("moved/tiny_iter_1.solverstate")
    assert same(parameters(solver), parameters(other))


def test_missing_weights_name_every_place(make_solver):
    solver = make_solver()
    path = solver.snapshot()
    os.remove("tiny_iter_0.caffemodel")
    with pytest.raises(DataError, match="tiny_iter_0.caffemodel' are missing"):
        solver.restore(path)


def test_history_shapes_stay(make_solver):
    solver = make_solver('type: "Adam"')
    solver.step(1)
    assert [h.shape for h in read_state(solver.snapshot()).history] == [(3, 6), (3,), (3, 6), (3,)]


def test_a_state_of_another_solver_type_is_refused_and_changes_nothing(make_solver):
    path = make_solver('type: "Adam"').snapshot()
    other = make_solver()
    before = parameters(other)
    with pytest.raises(DataError, match="holds 4 history arrays, this net with SGD has 2"):
        other.restore(path)
    assert other.iter == 0 and same(before, parameters(other))


def test_a_state_of_another_net_is_refused(make_solver):
    path = make_solver(net=NET.replace("num_output: 3", "num_output: 5")).snapshot()
    with pytest.raises(DataError, match=r"the history of ip.0 has the shape \(5, 6\), the parameter \(3, 6\)"):
        make_solver().restore(path)


def test_killed_between_the_two_files_leaves_the_earlier_state(make_solver, monkeypatch):
    solver = make_solver()
    solver.step(2)
    solver.snapshot()
    at_two = parameters(solver)
    solver.step(2)

    class Killed(BaseException):
        pass

    def replace(source, target):
        if str(target).endswith(".solverstate"):
            raise Killed
        os.rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(Killed):
            solver.snapshot()
    assert os.path.exists("tiny_iter_4.caffemodel") and not os.path.exists("tiny_iter_4.solverstate")
    other = make_solver()
    other.restore("tiny_iter_2.solverstate")
    assert other.iter == 2 and same(at_two, parameters(other))


@pytest.mark.parametrize("file_format", ["BINARYPROTO", "HDF5"])
@pytest.mark.parametrize("which", [1, 2])
def test_a_full_disk_is_one_error_and_leaves_the_earlier_files(make_solver, monkeypatch, tmp_path, file_format, which):
    solver = make_solver(f"snapshot_format: {file_format}")
    solver.step(1)
    solver.snapshot()
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    calls = []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == 2 * which - 1:  # of the file itself; its folder follows
            raise OSError(errno.ENOSPC, "No space left on device")

    solver.step(1)
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DataError, match="No space left on device"):
        solver.snapshot()
    after = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    assert {name: data for name, data in after.items() if name in before} == before
    assert not any("state" in name for name in set(after) - set(before))
    other = make_solver()
    other.restore(next(name for name in before if "state" in name))
    assert other.iter == 1


def test_weights_of_another_run_beside_the_state_are_noticed(make_solver):
    solver = make_solver()
    path = solver.snapshot()
    solver.step(1)
    os.replace(solver.snapshot().replace("solverstate", "caffemodel"), "tiny_iter_0.caffemodel")
    other = make_solver()
    other.restore(path)
    assert other.observer.said("are not those that tiny_iter_0.solverstate was saved with")


def test_a_state_without_our_part_resumes_as_caffe_does_and_says_so(make_solver):
    solver = make_solver()
    solver.step(3)
    path = solver.snapshot()
    state = read_state(path)
    state.extra = None
    write_state(path, state)
    other = make_solver()
    other.restore(path)
    assert other.iter == 3 and same(histories(solver), histories(other))
    assert other.observer.said("data starts from its beginning, as in Caffe")


def test_snapshot_diff_saves_gradients(make_solver):
    solver = make_solver("snapshot_diff: true")
    solver.step(1)
    solver.snapshot()
    ip = next(layer for layer in read_weights("tiny_iter_1.caffemodel") if layer.name == "ip")
    assert [d.shape for d in ip.diffs] == [(3, 6), (3,)] and np.any(ip.diffs[0])


def test_current_step_is_saved_and_restored(make_solver):
    solver, other = (make_solver("gamma: 0.1 stepvalue: [1, 1]", lr_policy='"multistep"') for _ in range(2))
    solver.step(2)
    path = solver.snapshot()
    assert read_state(path).current_step == 1
    other.restore(path)
    assert other.lr == solver.lr == pytest.approx(0.1 * 0.01)
