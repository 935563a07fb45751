"""Solver states in Caffe's binary form."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerforge.core.errors import DataError
from layerforge.schema.messages import message_class
from layerforge.schema.state import SolverState, parse_solverstate, read_solverstate, solverstate_chunks

FILE = Path(__file__).parents[1] / "golden" / "files" / "model" / "small_iter_3.solverstate"


def test_a_state_of_caffe_is_read():
    state = read_solverstate(FILE)
    assert (state.iter, state.learned_net, state.current_step, state.extra) == (3, "small_iter_3.caffemodel", 0, None)
    assert [h.shape for h in state.history][:3] == [(4, 1, 3, 3), (4,), (4,)]


def test_a_state_is_written_as_caffe_writes_it_with_our_part_beside():
    state = read_solverstate(FILE)
    state.extra = {"seed": b"7", "": b""}
    message = message_class("SolverState").FromString(b"".join(solverstate_chunks(state)))
    assert [(entry.name, entry.value) for entry in message.layerforge.entry] == [("seed", b"7"), ("", b"")]
    message.ClearField("layerforge")
    assert message == message_class("SolverState").FromString(FILE.read_bytes())


def test_everything_comes_back():
    state = SolverState(5, "w.caffemodel", [np.array([1.0, 2.0])], 2, 0.5, 3, {"a": bytes(range(256))})
    again = parse_solverstate(b"".join(solverstate_chunks(state)), "f")
    np.testing.assert_array_equal(again.history.pop(), state.history.pop())
    assert again == state


def test_a_state_cut_off_is_told():
    with pytest.raises(DataError, match="f is no whole .solverstate of 100 bytes"):
        parse_solverstate(FILE.read_bytes()[:100], "f")


def test_weights_given_for_a_state_are_told():
    data = FILE.with_name("small.caffemodel").read_bytes()
    with pytest.raises(DataError, match="f holds no iteration: a .solverstate is expected"):
        parse_solverstate(data, "f")


def test_a_state_of_a_later_version_is_told():
    message = message_class("SolverState")(iter=1)
    message.layerforge.version = 99
    with pytest.raises(DataError, match="f was written by a later LayerForge: version 99, known is 1"):
        parse_solverstate(message.SerializeToString(), "f")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1600), st.binary(max_size=4))
def test_any_bytes_are_read_or_refused_with_our_error(at, put):
    data = FILE.read_bytes()
    try:
        parse_solverstate(data[:at] + put + data[at + len(put) :], "f")
    except DataError as told:
        assert str(told).startswith("f")
