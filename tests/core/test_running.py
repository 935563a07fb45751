"""One thread at a time has its turn; BLAS is held to few threads while anything runs, and restored after."""

import os
import threading
import time

import numpy as np  # noqa: F401  loads its BLAS
import pytest

from layerforge.core import running
from layerforge.core.running import BLAS, Blas, Running, Turns


class Pool:
    """Counts how many threads it was told."""

    def __init__(self):
        self.now = 7

    def take(self, threads):
        before, self.now = self.now, threads
        return before

    def give_back(self, before):
        self.now = before


@pytest.fixture
def blas():
    """NumPy's BLAS with three threads; how many it has now."""
    BLAS.look()
    libraries = list(BLAS._found.values())
    if not libraries:
        pytest.skip("NumPy's BLAS has no threads that can be set")
    before = libraries[0].get()
    libraries[0].set(3)
    yield libraries[0].get
    libraries[0].set(before)


def start(work, *args):
    thread = threading.Thread(target=work, args=args, daemon=True)
    thread.start()
    return thread


def test_one_thread_at_a_time_has_its_turn():
    turns, inside, most = Turns(), [], []

    def work():
        for _ in range(50):
            turns.enter()
            inside.append(1)
            most.append(len(inside))
            time.sleep(0)
            inside.pop()
            turns.leave()

    threads = [start(work) for _ in range(4)]
    for each in threads:
        each.join()
    assert len(most) == 200 and max(most) == 1


def test_a_turn_may_be_entered_again_by_its_thread_alone():
    turns, entered = Turns(), threading.Event()
    turns.enter()
    turns.enter()
    other = start(lambda: (turns.enter(), entered.set(), turns.leave()))
    turns.leave()
    assert turns.mine and not entered.wait(0.02)
    turns.leave()
    assert entered.wait(10) and not turns.mine
    other.join()


def test_who_waits_has_a_turn_though_another_comes_back_at_once(monkeypatch):
    monkeypatch.setattr(running, "SLICE_SECONDS", 0.001)
    turns, done = Turns(), threading.Event()
    turns.enter()
    other = start(lambda: (turns.enter(), done.set(), turns.leave()))
    end = time.monotonic() + 10
    while not done.is_set() and time.monotonic() < end:
        time.sleep(0.0005)
        turns.leave()
        turns.enter()
    turns.leave()
    assert done.is_set()
    other.join()


def test_others_have_their_turn_in_a_pause():
    run, entered = Running(2, Pool()), threading.Event()

    def other():
        with run.computing():
            entered.set()

    with run.computing():
        thread = start(other)
        assert not entered.wait(0.02)
        with run.pausing():
            assert entered.wait(10)
    thread.join()


def test_without_an_engine_nobody_waits():
    run, entered = Running(2), threading.Event()

    def other():
        with run.computing():
            entered.set()

    with run.computing():
        start(other).join(10)
        assert entered.is_set()


def test_an_engine_has_the_threads_of_the_net_and_blas_one(blas):
    pool = Pool()
    with Running(2, pool).computing():
        assert (pool.now, blas()) == (2, 1)
    assert (pool.now, blas()) == (7, 3)


def test_without_an_engine_blas_has_the_threads_of_the_net(blas):
    with Running(2).computing():
        assert blas() == 2
    with Running(8).computing():
        assert blas() == 3  # what it had
    assert blas() == 3


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_all_is_restored_after_an_error(blas, error):
    pool = Pool()
    run = Running(2, pool)
    with pytest.raises(error), run.computing(), run.pausing():
        raise error
    assert (pool.now, blas()) == (7, 3) and not running.TURNS.mine


def test_runs_that_overlap_restore_when_the_last_ends(blas):
    first, second = Running(2).computing(), Running(1).computing()
    first.__enter__()
    second.__enter__()
    assert blas() == 1
    first.__exit__(None, None, None)
    assert blas() == 1
    second.__exit__(None, None, None)
    assert blas() == 3


def test_another_thread_than_the_first_may_hold_blas_too(blas):
    seen = []

    def work():
        with Running(2).computing():
            seen.append(blas())

    work()
    start(work).join()
    assert seen == [2, 2] and blas() == 3


def test_a_blas_that_is_loaded_in_a_run_is_held_too(blas):
    late = Blas()
    late.hold(1)
    late.look()
    assert blas() == 1
    late.free(1)
    assert blas() == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")
def test_a_forked_child_has_its_own_turns(blas):
    running.TURNS.enter()
    BLAS.hold(1)
    child = os.fork()
    if not child:
        os._exit(0 if not running.TURNS._now.locked() and blas() == 3 else 1)
    BLAS.free(1)
    running.TURNS.leave()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
