"""Records the work that is put on a stream as a CUDA graph, which is then launched as a whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from layerforge.backends.cupy.launcher import ROWS, WIDTH, Launcher, Numbers
from layerforge.core.errors import NotRecordable


class Recording:
    """What was recorded: `launch` runs it again."""

    def __init__(self, stream: Any, numbers: Numbers) -> None:
        self.numbers = numbers
        self.graph: Any = None
        self._stream, self._sent = stream, None

    def wait(self) -> None:
        """Until the numbers of the last launch are on the device, so that they may be written anew."""
        if self._sent is not None:
            self._sent.synchronize()

    def launch(self) -> None:
        """Sends the changing numbers and runs the graph; returns before it is done."""
        rows = len(self.numbers)
        if rows:
            self.numbers.device[:rows].set(self.numbers.host[:rows], stream=self._stream)
            self._sent = self._stream.record()
        self.graph.launch(stream=self._stream)


class Recorder:
    """Recording on one stream. The kernels and the memory know while it lasts, and refuse what cannot be part of it.

    memory  the representation whose arrays are worked on
    """

    def __init__(self, cupy: Any, stream: Any, kernels: Launcher, memory: Any) -> None:
        self._cupy, self._stream, self._kernels, self.memory = cupy, stream, kernels, memory

    @contextlib.contextmanager
    def recording(self) -> Iterator[Recording]:
        """What is put on the stream inside is recorded instead of run.

        Raises NotRecordable when something inside cannot be recorded; the stream is as it was then.
        """
        taken = Recording(self._stream, self._table())
        self._kernels.numbers, self.memory.recording = taken.numbers, True
        try:
            self._stream.begin_capture()
            try:
                yield taken
            except BaseException:
                with contextlib.suppress(self._cupy.cuda.runtime.CUDARuntimeError):
                    self._stream.end_capture()
                raise
            taken.graph = self._stream.end_capture()
        except (self._cupy.cuda.runtime.CUDARuntimeError, NotImplementedError) as error:
            raise NotRecordable(f"CUDA refuses: {str(error).splitlines()[0]}") from error
        finally:
            self._kernels.numbers, self.memory.recording = None, False

    @contextlib.contextmanager
    def renumbering(self, taken: Recording) -> Iterator[None]:
        """Kernels launched inside do not run: their changing numbers are written for the recording's next launch."""
        taken.wait()
        self._kernels.numbers, self._kernels.muted = taken.numbers, True
        try:
            with taken.numbers.rewriting():
                yield
        finally:
            self._kernels.numbers, self._kernels.muted = None, False

    def address(self, array: Any) -> int:
        """Where the array lies on the device."""
        return int(array.data.ptr)

    def _table(self) -> Numbers:
        import cupyx

        host = cupyx.empty_pinned((ROWS, WIDTH), np.float64)
        host[...] = 0
        return Numbers(host, self._cupy.zeros((ROWS, WIDTH), np.float64))
