"""One piece of repeated work, recorded by a recorder that only keeps count."""

import contextlib
import types

import numpy as np

from layerforge.core.storage import HOST, HostRepresentation, Storage
from layerforge.net.recorded import Recorded


class Counting:
    """Runs at once what it records."""

    memory = HOST

    def __init__(self):
        self.log = []

    @contextlib.contextmanager
    def recording(self, control):
        self.log.append("record")
        numbers = types.SimpleNamespace(keys=set())
        yield types.SimpleNamespace(numbers=numbers, launch=lambda: self.log.append("launch"))

    @contextlib.contextmanager
    def renumbering(self, recording):
        self.log.append("renumber")
        yield

    def drop(self):
        self.log.append("drop")

    def address(self, array):
        return array.ctypes.data


def make(**named):
    recorder, storage = Counting(), Storage(3)
    runs = []

    def run():
        runs.append(1)
        storage.array(HOST)[...] += 1
        storage.wrote(HOST)

    return recorder, storage, runs, Recorded(recorder, run, lambda: [storage], **named)


def test_third_run_is_recorded_and_later_ones_are_launched():
    recorder, _, runs, work = make()
    for _ in range(5):
        work()
    assert recorder.log == ["record", "launch", "launch", "launch"] and len(runs) == 3 and work.launches == 3


def test_recording_is_given_up_in_order_when_memory_that_is_no_storages_moves():
    places = [1]
    recorder, _, runs, work = make(places=lambda: places[0])
    for _ in range(4):
        work()
    places[0] = 2
    work()
    assert recorder.log[-1] == "drop" and len(runs) == 4
    for _ in range(2):
        work()
    assert recorder.log[-2:] == ["record", "launch"]


def test_numbers_are_written_anew_before_each_launch_but_the_first():
    recorder, _, _, work = make(renumber=lambda: recorder.log.append("numbers"))
    for _ in range(4):
        work()
    assert recorder.log == ["record", "launch", "renumber", "numbers", "launch"]


def test_tidying_comes_before_the_recording():
    recorder, _, _, work = make(tidy=lambda: recorder.log.append("tidy"))
    for _ in range(3):
        work()
    assert recorder.log == ["tidy", "record", "launch"]


def test_copies_that_the_work_reads_and_makes_old_are_brought_before_each_launch():
    recorder, plain, other, brought = Counting(), HostRepresentation(), HostRepresentation(), []
    recorder.memory = plain
    other.from_host = lambda source, target: (brought.append(1), np.copyto(target, source))
    storage = Storage(3)

    def run():
        storage.array(other)
        storage.wrote(plain)

    work = Recorded(recorder, run, lambda: [storage])
    work()
    work()
    storage.array(other)
    del brought[:]
    for count in (0, 1, 2):
        work()
        assert len(brought) == count
