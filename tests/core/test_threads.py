"""Work on arrays is shared among threads, as many as the setting says, with the result of one."""

import threading

import numpy as np
import pytest

from layerforge.backends import get_backend
from layerforge.core import threads


def seen_by(limit, length, least=10):
    """The slices and the threads of one shared piece of work."""
    found = []

    def work(part):
        found.append((part.start, part.stop, threading.current_thread().name))

    with threads.limited(limit):
        threads.share(work, length, least)
    return sorted(found)


def test_the_slices_cover_everything_once():
    parts = seen_by(3, 100)
    assert [a for a, _, _ in parts] == [0, 33, 66] and [b for _, b, _ in parts] == [33, 66, 100]


def test_small_work_stays_on_the_caller():
    assert seen_by(4, 19) == [(0, 19, threading.current_thread().name)]
    assert seen_by(1, 1000) == [(0, 1000, threading.current_thread().name)]


def test_an_error_of_any_thread_is_raised():
    def work(part):
        if part.start:
            raise ValueError("second half")

    with threads.limited(2), pytest.raises(ValueError, match="second half"):
        threads.share(work, 100, 10)


def test_the_limit_is_restored():
    before = threads.count()
    with threads.limited(before + 3):
        assert threads.count() == before + 3
    assert threads.count() == before


@pytest.mark.parametrize("rule", ["update_sgd", "update_nesterov"])
def test_an_update_on_several_threads_is_bit_for_bit_that_of_one(rule):
    results = []
    for limit in (1, 3):
        w, g, h = np.random.default_rng(1).standard_normal((3, 500_001)).astype(np.float32)
        with threads.limited(limit):
            getattr(get_backend().ops, rule)(w, g, h, lr=0.1, momentum=0.9, scale=0.5, l2=1e-3)
        results.append((w, g, h))
    for one, several in zip(*results):
        assert np.array_equal(one, several)
