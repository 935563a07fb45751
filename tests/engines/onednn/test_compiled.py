"""LLVM at work on a thread of its own while nets are planned."""

import os
import threading

import numpy as np
import pytest

from layerforge.core import threads
from layerforge.core.errors import DeviceError

try:
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)

from layerforge.engines.onednn.compiled import compiler  # noqa: E402

if compiler() is None:
    pytest.skip("no compiled loops: llvmlite or libgomp is missing", allow_module_level=True)

from layerforge.engines.onednn.emitter import INT, Emitter  # noqa: E402


def writes(number):
    """The module of a function that puts the number where its first slot points."""
    e = Emitter(f"writes_{number}", 16)
    e.store(INT(number), e.slots(1)[0])
    e.ret_void()
    return e.module


def said(code):
    """What the function has written."""
    place, slots = np.zeros(1, np.int64), np.zeros(1, np.int64)
    slots[0] = place.ctypes.data
    compiler().run(code, slots, alone=True)
    return int(place[0])


@pytest.fixture
def held(monkeypatch):
    """LLVM waits until this event is set."""
    go, compile_ = threading.Event(), compiler()._compile

    def waiting(*args):
        assert go.wait(10)
        return compile_(*args)

    monkeypatch.setattr(compiler(), "_compile", waiting)
    yield go
    go.set()
    compiler().settle()


def test_planning_goes_on_while_llvm_is_at_work(held):
    with threads.limited(2):
        code = compiler().compile(writes(5))
    held.set()
    assert said(code) == 5


def test_loops_of_one_thread_are_compiled_at_once():
    with threads.limited(1):
        code = compiler().compile(writes(6))
    assert not compiler()._begun or compiler()._begun[-1].done()
    assert said(code) == 6


def test_an_error_of_llvm_is_raised_where_the_loop_is_wanted(monkeypatch):
    def broken(*args):
        raise RuntimeError("no code")

    monkeypatch.setattr(compiler(), "_compile", broken)
    with threads.limited(2):
        code = compiler().compile(writes(7))
    with pytest.raises(RuntimeError, match="no code"):
        said(code)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_child_forked_while_llvm_is_at_work_has_the_loop_and_compiles_others(held):
    with threads.limited(2):
        code = compiler().compile(writes(8))
        threading.Timer(0.02, held.set).start()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if (said(code), said(compiler().compile(writes(9)))) == (8, 9) else 2
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
    assert said(code) == 8
