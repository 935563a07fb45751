"""Solver states in both formats."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from layerforge.core.errors import DataError
from layerforge.io.state import read_state, write_state
from layerforge.schema.state import SolverState

MODEL = Path(__file__).parents[1] / "golden" / "files" / "model"


def test_both_formats_hold_the_same_state():
    binary, hdf5 = (read_state(MODEL / name) for name in ("small_iter_3.solverstate", "small_iter_3.solverstate.h5"))
    assert (
        (binary.iter, binary.current_step, binary.extra) == (hdf5.iter, hdf5.current_step, hdf5.extra) == (3, 0, None)
    )
    assert (binary.learned_net, hdf5.learned_net) == ("small_iter_3.caffemodel", "small_iter_3.caffemodel.h5")
    for a, b in zip(binary.history, hdf5.history, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["s.solverstate", "s.solverstate.h5"])
def test_everything_comes_back(tmp_path, name):
    extra = {"rng/train": bytes(range(256)), "empty": b""}
    history = [np.arange(6.0, dtype=np.float32).reshape(2, 3), np.ones((), np.float32)]
    write_state(tmp_path / name, SolverState(7, "w.caffemodel", history, 2, 0.5, 3, extra))
    state = read_state(tmp_path / name)
    assert (state.iter, state.learned_net, state.current_step) == (7, "w.caffemodel", 2)
    assert (state.minimum_loss, state.iter_last_event, state.extra) == (0.5, 3, extra)
    assert [h.tolist() for h in state.history] == [h.tolist() for h in history]


def test_hdf5_has_caffes_layout(tmp_path):
    state = read_state(MODEL / "small_iter_3.solverstate.h5")
    state.extra = {"a": b"1"}
    write_state(tmp_path / "s.h5", state)
    with h5py.File(tmp_path / "s.h5") as mine, h5py.File(MODEL / "small_iter_3.solverstate.h5") as caffes:
        assert set(mine) == {*caffes, "layerforge"}
        for name in ("iter", "current_step", "learned_net", "history/0"):
            assert (mine[name].dtype, mine[name].shape) == (caffes[name].dtype, caffes[name].shape)
        assert mine["learned_net"].id.get_type().get_strpad() == h5py.h5t.STR_NULLTERM


def test_weights_given_for_a_state_are_told():
    with pytest.raises(DataError, match="holds no iteration and history: a .solverstate.h5 is expected"):
        read_state(MODEL / "small.caffemodel.h5")


def test_a_state_of_a_later_version_is_told(tmp_path):
    write_state(tmp_path / "s.h5", SolverState(1, extra={}))
    with h5py.File(tmp_path / "s.h5", "a") as file:
        file["layerforge/version"][...] = 99
    with pytest.raises(DataError, match="was written by a later LayerForge: version 99, known is 1"):
        read_state(tmp_path / "s.h5")


def test_a_missing_state_is_told(tmp_path):
    with pytest.raises(DataError, match="none.solverstate cannot be read: No such file"):
        read_state(tmp_path / "none.solverstate")
