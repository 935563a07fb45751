"""Batches made ahead: in order, with errors that reach the consumer, without threads left over."""

import itertools
import threading
import time

import pytest

from layerforge.core.errors import DataError
from layerforge.data.prefetch import Prefetch


def alive():
    return [thread for thread in threading.enumerate() if thread.name.startswith("layerforge-data")]


def test_batches_come_in_the_order_of_the_reads():
    numbers = itertools.count()

    def make(n):
        time.sleep(0.002 * (3 - n % 4))  # later ones are ready first
        return n

    fetch = Prefetch(lambda: next(numbers), make, depth=4, threads=4)
    assert [fetch.get() for _ in range(20)] == list(range(20))
    fetch.close()


def test_no_more_is_read_than_the_depth():
    numbers = itertools.count()
    fetch = Prefetch(lambda: next(numbers), lambda n: n, depth=3, threads=2)
    fetch.get()
    time.sleep(0.05)
    assert next(numbers) == 4  # one taken, three ahead
    fetch.close()


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_reaches_the_consumer_in_its_place(threads):
    numbers = itertools.count()

    def make(n):
        if n == 2:
            raise DataError("record 2 is broken")
        return n

    fetch = Prefetch(lambda: next(numbers), make, 4, threads)
    assert [fetch.get(), fetch.get()] == [0, 1]
    for _ in range(2):  # and again
        with pytest.raises(DataError, match="record 2"):
            fetch.get()
    fetch.close()


def test_an_error_while_reading_reaches_the_consumer():
    def read():
        raise SystemExit("the disk went away")

    fetch = Prefetch(read, lambda n: n, 2)
    with pytest.raises(SystemExit, match="disk"):
        fetch.get()
    fetch.close()


def test_threads_end_with_close():
    before = len(alive())
    fetch = Prefetch(lambda: 1, lambda n: n, 4, 3)
    assert len(alive()) == before + 3
    fetch.close()
    fetch.close()
    assert len(alive()) == before


def test_a_closed_prefetch_is_an_error_not_a_hang():
    fetch = Prefetch(lambda: 1, lambda n: n, 2)
    fetch.close()
    with pytest.raises(DataError, match="threads are gone"):
        fetch.get()


def test_dead_threads_are_an_error_not_a_hang(monkeypatch):
    monkeypatch.setattr(Prefetch, "_work", lambda self: None)  # as in a forked child, where no thread lives on
    fetch = Prefetch(lambda: 1, lambda n: n, 2)
    with pytest.raises(DataError, match="threads are gone"):
        fetch.get()


def test_waits_are_counted_with_their_seconds():
    gate = threading.Event()
    prefetch = Prefetch(lambda: gate.wait(5), lambda raw: raw, 1)
    threading.Timer(0.05, gate.set).start()
    prefetch.get()
    assert prefetch.waits == 1 and prefetch.waited_seconds > 0.01
    while not prefetch._ready:
        time.sleep(0.001)
    prefetch.get()
    assert prefetch.waits == 1
    prefetch.close()
