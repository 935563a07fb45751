"""Recording a stream, with a CuPy that only counts; and the table of changing numbers."""

import types

import numpy as np
import pytest
from tape import Pool

from layerforge.backends.cupy.device import DeviceMemory
from layerforge.backends.cupy.launcher import ROWS, WIDTH, Launcher, Numbers
from layerforge.backends.cupy.recorder import Recorder
from layerforge.core.errors import NotRecordable


class Fault(RuntimeError):
    pass


class Array(np.ndarray):
    def set(self, values, stream):
        stream.log.append(("set", len(values)))
        self[...] = values


class Stream:
    def __init__(self):
        self.log, self.fails = [], False

    def begin_capture(self):
        self.log.append("begin")

    def end_capture(self):
        self.log.append("end")
        if self.fails:
            raise Fault("operation failed due to a previous error during capture\nmore")
        return types.SimpleNamespace(launch=lambda stream: self.log.append("launch"))

    def record(self, event):
        event.synchronize = lambda: self.log.append("wait")

    def synchronize(self):
        self.log.append("synchronize")


@pytest.fixture
def parts():
    stream, kernels = Stream(), Launcher(np)
    runtime = types.SimpleNamespace(CUDARuntimeError=Fault)
    cuda = types.SimpleNamespace(runtime=runtime, alloc_pinned_memory=bytearray, Event=types.SimpleNamespace,
                                 MemoryPool=Pool, using_allocator=Pool.using)
    cupy = types.SimpleNamespace(cuda=cuda, zeros=lambda shape, dtype: np.zeros(shape, dtype).view(Array))
    memory = DeviceMemory(cupy, 0, stream)
    return Recorder(cupy, stream, kernels, memory), stream, kernels, memory


def test_recording_is_launched_with_its_numbers(parts):
    recorder, stream, kernels, _ = parts
    with recorder.recording() as taken:
        row, values = kernels.changing(np.float64, (0.5, 0.25))
    assert values == (0.5, 0.25) and kernels.numbers is None
    taken.launch()
    assert stream.log == ["begin", "end", ("set", 1), "launch"]
    assert row[:2].tolist() == [0.5, 0.25]
    with recorder.renumbering(taken):
        assert kernels.muted
        kernels.changing(np.float64, (2.0, 3.0))
    taken.launch()
    assert stream.log[4:] == [("set", 1), "launch"]
    assert row[:2].tolist() == [2.0, 3.0] and not kernels.muted


def test_numbers_wait_only_for_the_launch_before_the_last(parts):
    recorder, stream, kernels, _ = parts
    with recorder.recording() as taken:
        kernels.changing(np.float64, (1,))
    for _ in range(3):
        taken.launch()
    assert stream.log == ["begin", "end", *[("set", 1), "launch"] * 2, "wait", ("set", 1), "launch"]


def test_recording_without_numbers_sends_none(parts):
    recorder, stream, _, _ = parts
    with recorder.recording() as taken:
        pass
    taken.launch()
    assert stream.log == ["begin", "end", "launch"]


def test_numbers_are_given_as_they_are_outside_of_recordings():
    row, values = Launcher(np).changing(np.uint64, (7,))
    assert row is None and values == (np.uint64(7),)


def test_memory_and_copies_are_refused_while_recording(parts):
    recorder, _, kernels, memory = parts
    for work in (
        lambda: memory.zeros(3, np.dtype(np.float32)),
        lambda: memory.to_host(None, None),
        lambda: memory.from_host(None, None),
        lambda: kernels.room(5),
        lambda: kernels.table(np.arange(3), np.int32),
    ):
        with pytest.raises(NotRecordable), recorder.recording():
            work()
        assert kernels.numbers is None and not memory.recording


def test_refusal_of_cuda_is_said_in_one_line(parts):
    recorder, stream, _, _ = parts
    stream.fails = True
    with pytest.raises(NotRecordable, match="^CUDA refuses: operation failed due to a previous error during capture$"):
        with recorder.recording():
            pass


def test_other_errors_end_the_recording_and_come_through(parts):
    recorder, stream, kernels, memory = parts
    stream.fails = True
    with pytest.raises(ZeroDivisionError), recorder.recording():
        raise ZeroDivisionError
    assert stream.log == ["begin", "end"] and kernels.numbers is None and not memory.recording


def test_equal_tables_are_moved_once():
    launcher = Launcher(np)
    assert launcher.table(np.arange(3), np.int32) is launcher.table([0, 1, 2], np.int32)
    assert launcher.table(np.arange(3), np.float32).dtype == np.float32


def test_room_grows_and_old_room_is_kept():
    launcher = Launcher(np)
    first = launcher.room(10)
    assert launcher.room(first.size) is first
    assert launcher.room(first.size + 1) is not first and launcher._rooms[0] is first


def test_draws_move_on_with_their_stream():
    numbers = Numbers(np.zeros((ROWS, WIDTH)), np.zeros((ROWS, WIDTH)))
    for draw, key in ((5, "a"), (6, "a"), (2, "b")):
        numbers.row(np.uint64, (draw,), key)
    numbers.redraw({"a": 10})
    assert numbers.host[:3, 0].view(np.uint64).tolist() == [15, 16, 2] and numbers.keys == {"a", "b"}


def test_other_launches_than_recorded_are_refused():
    numbers = Numbers(np.zeros((2, WIDTH)), np.zeros((2, WIDTH)))
    numbers.row(np.float64, (1,))
    with numbers.rewriting():
        with pytest.raises(NotRecordable, match="not recorded"):
            numbers.row(np.uint64, (1,))
        numbers.row(np.float64, (1,))
        with pytest.raises(NotRecordable, match="not recorded"):
            numbers.row(np.float64, (1,))


def test_rows_that_are_written_once_are_passed_over():
    numbers = Numbers(np.zeros((ROWS, WIDTH)), np.zeros((ROWS, WIDTH)))
    numbers.row(np.float64, (1,))
    with numbers.once():
        numbers.row(np.uint64, (2,), "draws")
    numbers.row(np.float64, (3,))
    with numbers.rewriting():
        numbers.row(np.float64, (10,))
        numbers.row(np.float64, (30,))
    numbers.redraw({"draws": 5})
    assert numbers.host[:3, 0].tolist() == [10, np.array(7, np.uint64).view(np.float64), 30]


def test_full_table_is_said():
    numbers = Numbers(np.zeros((1, WIDTH)), np.zeros((1, WIDTH)))
    numbers.row(np.float64, (1,))
    with pytest.raises(NotRecordable, match="more than 1 kernels"):
        numbers.row(np.float64, (1,))


def test_memory_that_array_code_takes_while_it_is_recorded_belongs_to_the_recording(parts):
    recorder, _, _, _ = parts
    with recorder.recording() as taken:
        assert Pool.now is taken.pool
    assert Pool.now is None


def test_launches_that_fail_in_a_broken_capture_are_a_reason(parts):
    recorder, _, kernels, _ = parts
    with pytest.raises(NotRecordable, match="CUDA refuses: STREAM_CAPTURE_INVALIDATED"), recorder.recording():
        raise RuntimeError("STREAM_CAPTURE_INVALIDATED")  # CuPy's CUDADriverError is one, and so are cuDNN's
    assert kernels.numbers is None
