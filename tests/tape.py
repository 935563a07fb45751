"""A device made of NumPy, with streams that can be recorded: work inside a recording is kept on a tape and not done.

`TapeBackend` has the CuPy backend's ops and recorder. Its arrays keep array maths on the tape too, so that a replay
does exactly what a CUDA graph would: the same work on the same memory with the same numbers.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable
from typing import Any

import numpy as np
from cpu_kernels import CpuKernels

from layerforge.backends.cupy import CupyOps
from layerforge.backends.cupy.device import DeviceMemory
from layerforge.backends.cupy.launcher import ROWS, WIDTH, Numbers
from layerforge.backends.cupy.recorder import Recorder
from layerforge.core.errors import NotRecordable
from layerforge.testing.capture import VIEWS


class CudaError(RuntimeError):
    pass


class Tape:
    """The stream: work is done at once, or kept while a recording lasts."""

    def __init__(self) -> None:
        self.kept: list[Callable[[], Any]] | None = None
        self.fails = False

    def do(self, work: Callable[[], Any]) -> None:
        if self.kept is None:
            work()
        else:
            self.kept.append(work)

    def begin_capture(self) -> None:
        self.kept = []

    def end_capture(self) -> Any:
        kept, self.kept = self.kept, None
        if self.fails:
            raise CudaError("operation not permitted when stream is capturing\nand more")

        def launch(stream: Tape) -> None:
            for work in kept or ():
                stream.do(work)

        return types.SimpleNamespace(launch=launch)

    def record(self) -> Any:
        return types.SimpleNamespace(synchronize=lambda: None)


def plain(value: Any) -> Any:
    if isinstance(value, TapeArray):
        return value.view(np.ndarray)
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


class TapeArray(np.ndarray):
    """Device memory."""

    tape: Tape

    def _do(self, what: str, function: Callable[..., Any], inputs: Any, named: dict[str, Any], target: Any) -> Any:
        named = {key: plain(value) for key, value in named.items()}
        if target is None:
            if self.tape.kept is not None:
                raise NotRecordable(f"{what} makes a new array")
            result = function(*plain(inputs), **named)
            return result.view(type(self)) if isinstance(result, np.ndarray) else result
        inputs = plain(inputs)
        self.tape.do(lambda: function(*inputs, **named))
        return target

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **named: Any) -> Any:
        target = out[0] if out else None
        if out:
            named["out"] = out
        return self._do(ufunc.__name__, getattr(ufunc, method), inputs, named, target)

    def __array_function__(self, function: Any, kinds: Any, arguments: Any, named: Any) -> Any:
        if function.__name__ in VIEWS:
            return super().__array_function__(function, kinds, arguments, named)
        target = arguments[0] if function is np.copyto else named.get("out")
        return self._do(function.__name__, function, arguments, named, target)

    def __getitem__(self, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        number = all(isinstance(part, (int, np.integer)) for part in parts)
        return super().__getitem__((*parts, Ellipsis) if number else index)  # one number stays an array, as on a device

    def __setitem__(self, index: Any, value: Any) -> None:
        target, source = plain(self), plain(value)
        self.tape.do(lambda: target.__setitem__(index, source))

    def fill(self, value: Any) -> None:
        target = plain(self)
        self.tape.do(lambda: target.fill(value))


class TapeKernels(CpuKernels):
    def __init__(self, xp: Any, tape: Tape) -> None:
        super().__init__()
        self.xp, self.tape = xp, tape

    def run(self, *arguments: Any, dtype: Any) -> None:
        run, given = super().run, plain(arguments)
        self.tape.do(lambda: run(*given, dtype=dtype))


class TapeMemory:
    name, plain = "tape", True

    def __init__(self, kind: type[TapeArray]) -> None:
        self.kind, self.recording = kind, False

    def _refuse(self) -> None:
        if self.recording:
            raise NotRecordable("memory was asked for, or copied")

    def zeros(self, count: int, dtype: Any) -> np.ndarray:
        self._refuse()
        return np.zeros(count, dtype).view(self.kind)

    def to_host(self, source: np.ndarray, target: np.ndarray) -> None:
        self._refuse()
        np.copyto(target, plain(source))

    def from_host(self, source: np.ndarray, target: np.ndarray) -> None:
        self._refuse()
        np.copyto(plain(target), source)


    convert = DeviceMemory.convert


class TapeRecorder(Recorder):
    def _table(self) -> Numbers:
        host = np.zeros((ROWS, WIDTH))
        device = np.zeros((ROWS, WIDTH)).view(Sent)
        return Numbers(host, device)

    def address(self, array: np.ndarray) -> int:
        return int(array.ctypes.data)


class Sent(np.ndarray):
    """The table of numbers on the device."""

    def set(self, values: np.ndarray, stream: Tape) -> None:
        stream.do(lambda: np.copyto(self.view(np.ndarray), values))


class TapeBackend:
    """The device. records=False: the same arithmetic without recordings."""

    name, device = "tape", "tape"

    def __init__(self, records: bool = True) -> None:
        self.tape = Tape()
        kind = type("Array", (TapeArray,), {"tape": self.tape})
        self.xp: Any = np
        self.representation = TapeMemory(kind)
        self.ops = CupyOps(np, TapeKernels(np, self.tape))
        if records:
            cupy = types.SimpleNamespace(
                cuda=types.SimpleNamespace(runtime=types.SimpleNamespace(CUDARuntimeError=CudaError))
            )
            self.recorder = TapeRecorder(cupy, self.tape, self.ops.kernels, self.representation)

    def synchronize(self) -> None:
        """Nothing is under way."""


@contextlib.contextmanager
def failing(backend: TapeBackend):
    """Inside, CUDA refuses every recording."""
    backend.tape.fails = True
    try:
        yield
    finally:
        backend.tape.fails = False
