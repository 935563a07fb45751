"""Records the work that is put on a stream as a CUDA graph, which is then launched as a whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from layerforge.backends.cupy.control import Control
from layerforge.backends.cupy.device import Stage
from layerforge.backends.cupy.feed import Feed
from layerforge.backends.cupy.launcher import ROWS, WIDTH, Launcher, Numbers
from layerforge.core.errors import NotRecordable


class Recording:
    """What was recorded: `launch` runs it again.

    numbers  the table of its changing numbers
    sent     where they arrive on the device: the table itself, unless the graph's first kernel takes them from there
    pool     memory that array code took for a moment (sums do): every launch writes there, so nobody else may have it
    """

    def __init__(self, stream: Any, numbers: Numbers, sent: Any, stages: list[Stage], pool: Any) -> None:
        self.numbers, self.sent, self.pool = numbers, sent, pool
        self.graph: Any = None
        self._stream, self._stages = stream, stages

    def launch(self) -> None:
        """Sends the changing numbers and runs the graph; returns before it is done."""
        rows = len(self.numbers)
        if rows:
            staged = self._stages[0]
            self._stages.reverse()  # the next launch takes the other one
            staged.send(self.numbers.host[:rows], self.sent[:rows])
        self.graph.launch(stream=self._stream)


class Recorder:
    """Recording on one stream. The kernels and the memory know while it lasts, and refuse what cannot be part of it.

    memory  the representation whose arrays are worked on
    """

    def __init__(self, cupy: Any, stream: Any, kernels: Launcher, memory: Any) -> None:
        self._cupy, self._stream, self._kernels, self.memory = cupy, stream, kernels, memory

    def control(self) -> Control:
        """The numbers of a training run that judges itself."""
        return Control(self._kernels, self.memory)

    def feed(self, control: Control) -> Feed:
        """What brings the batches of such a run."""
        return Feed(self._cupy, self._stream, self.memory, control)

    @contextlib.contextmanager
    def recording(self, control: Control | None = None) -> Iterator[Recording]:
        """What is put on the stream inside is recorded instead of run.

        control  of the run; once it is halted, the recording repeats the numbers of its last launch
        Raises NotRecordable when something inside cannot be recorded; the stream is as it was then.
        """
        taken = self._recording(control is not None)
        self._kernels.numbers, self.memory.recording = taken.numbers, True
        try:
            with self._cupy.cuda.using_allocator(taken.pool.malloc):
                self._stream.begin_capture()
                try:
                    if control is not None:
                        control.take_numbers(taken.numbers.device.reshape(-1), taken.sent.reshape(-1))
                    yield taken
                except BaseException:
                    with contextlib.suppress(self._cupy.cuda.runtime.CUDARuntimeError):
                        self._stream.end_capture()
                    raise
                taken.graph = self._stream.end_capture()
        except RuntimeError as error:  # also of launches and of cuDNN, once something before them broke the capture
            raise NotRecordable(f"CUDA refuses: {(str(error) or type(error).__name__).splitlines()[0]}") from error
        finally:
            self._kernels.numbers, self.memory.recording = None, False

    @contextlib.contextmanager
    def renumbering(self, taken: Recording) -> Iterator[None]:
        """Kernels launched inside do not run: their changing numbers are written for the recording's next launch."""
        self._kernels.numbers, self._kernels.muted = taken.numbers, True
        try:
            with taken.numbers.rewriting():
                yield
        finally:
            self._kernels.numbers, self._kernels.muted = None, False

    def once(self) -> contextlib.AbstractContextManager[None]:
        """While recording: the numbers of what is launched inside do not change, draws apart."""
        numbers = self._kernels.numbers
        return contextlib.nullcontext() if numbers is None else numbers.once()

    def drop(self) -> None:
        """Before a recording is given up: waits until its numbers have left the page-locked memory."""
        self._stream.synchronize()

    def address(self, array: Any) -> int:
        """Where the array lies on the device."""
        return int(array.data.ptr)

    def _recording(self, apart: bool) -> Recording:
        numbers = Numbers(np.zeros((ROWS, WIDTH)), self._cupy.zeros((ROWS, WIDTH), np.float64))
        sent = self._cupy.zeros((ROWS, WIDTH), np.float64) if apart else numbers.device
        stages = [Stage(self._cupy, self._stream), Stage(self._cupy, self._stream)]
        return Recording(self._stream, numbers, sent, stages, self._cupy.cuda.MemoryPool())
