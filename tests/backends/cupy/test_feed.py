"""Batches over a second stream: every iteration sees its own, and a wait that is left out gives wrong numbers."""

import numpy as np
import pytest
from cpu_kernels import needs_compiler
from streams import ORDERS, Event, Stream
from tape import TapeBackend

from layerforge.backends.cupy.feed import NOTHING
from layerforge.core.storage import HOST, Storage

COUNT = 5


@pytest.fixture(autouse=True)
def compiler():
    needs_compiler()


class Line:
    """A backend, a feed, and one value that comes in anew before each iteration."""

    def __init__(self, order="main first"):
        self.backend = TapeBackend(order=order)
        self.memory = self.backend.representation
        self.control = self.backend.recorder.control()
        self.feed = self.backend.recorder.feed(self.control)
        self.x = Storage(COUNT)
        self.seen = self.memory.zeros(1000, np.dtype(np.float32))
        self.at = 0

    def iteration(self, value=None):
        """Notes on the device what x is, in several steps."""
        if value is not None:
            self.x.set(np.full(self.x.count, value, np.float32))
        self.feed.send([self.x])
        self.feed.take([self.x])
        for i in range(COUNT):
            np.copyto(self.seen[self.at : self.at + 1], self.x.array(self.memory)[i : i + 1])
            self.at += 1
        self.feed.done()

    def saw(self):
        held = np.empty(1000, np.float32)
        self.memory.to_host(self.seen, held)
        return held[: self.at].reshape(-1, COUNT).tolist()


@pytest.mark.parametrize("order", ORDERS)
def test_every_iteration_sees_its_own_batch(order):
    line = Line(order)
    for value in range(12):
        line.iteration(value)
    assert line.saw() == [[value] * COUNT for value in range(12)]


FORGOTTEN = {
    "the iteration waits for the copy": (Stream, "wait_event", lambda line, stream: stream is line.backend.stream),
    "the copy waits for the iteration": (Stream, "wait_event", lambda line, stream: stream is not line.backend.stream),
    "the end of an iteration is marked": (Stream, "record", lambda line, stream: stream is line.backend.stream),
    "the host waits for its page": (Event, "synchronize", lambda line, event: True),
}


@pytest.mark.parametrize("what", FORGOTTEN)
def test_a_wait_that_is_forgotten_is_seen(what, monkeypatch):
    kind, method, forgets = FORGOTTEN[what]
    whole, wrong = getattr(kind, method), []
    for order in ORDERS:
        line = Line(order)

        def half(self, *given, line=line):
            return None if forgets(line, self) else whole(self, *given)

        line.iteration(0)
        line.iteration(1)
        monkeypatch.setattr(kind, method, half)
        for value in range(2, 12):
            line.iteration(value)
        monkeypatch.setattr(kind, method, whole)
        wrong.append(line.saw() != [[value] * COUNT for value in range(12)])
    assert any(wrong)


def test_host_and_device_hold_a_value_that_was_sent():
    line = Line()
    line.iteration(1)
    line.iteration(2)
    assert set(line.x.fresh()) == {HOST, line.memory}


def test_value_that_stays_is_not_sent_again():
    line = Line()
    for value in (1, 2, None, None, 3, None):
        line.iteration(value)
    assert [row[0] for row in line.saw()] == [1, 2, 2, 2, 3, 3]
    assert line.feed._lanes[line.x].turn == NOTHING


def test_value_that_the_device_wrote_is_left_alone():
    line = Line()
    for value in (1, 2):
        line.iteration(value)
    before = line.feed.generation
    line.x.claim(line.memory)[...] = 7
    line.iteration()
    assert line.saw()[-1] == [7] * COUNT and line.feed.generation == before + 1
    line.iteration(8)
    assert line.saw()[-1] == [8] * COUNT and line.feed.generation == before + 2


def test_layout_that_the_device_wrote_is_not_converted():
    line, other = Line(), TapeBackend().representation
    other.to_host = lambda source, target: pytest.fail("a copy was made")
    line.x.claim(other)
    line.feed.send([line.x])
    line.feed.take([line.x])
    assert line.x.fresh() == (other,)


def test_larger_batches_get_larger_places_and_that_is_told():
    line = Line()
    line.iteration(1)
    before = line.feed.generation
    line.x.resize(3 * COUNT)
    line.iteration(2)
    line.iteration(3)
    assert line.feed.generation == before + 1 and line.saw()[-1] == [3] * COUNT
    line.x.resize(COUNT)
    line.iteration(4)
    assert line.feed.generation == before + 1 and line.saw()[-1] == [4] * COUNT


def test_several_values_travel_together():
    line, other = Line("main last"), Storage(2)
    for value in range(6):
        line.x.set(np.full(COUNT, value, np.float32))
        other.set(np.full(2, -value, np.float32))
        line.feed.send([line.x, other])
        line.feed.take([line.x, other])
        line.feed.done()
    assert line.x.array(line.memory).tolist() == [5] * COUNT and other.array(line.memory).tolist() == [-5, -5]
