"""A device made of NumPy: its work is done on streams (streams.py), or kept in a recording.

`TapeBackend` has the CuPy backend's ops, memory and recorder. Its arrays put array maths on the stream too, so that a
replay does exactly what a CUDA graph would: the same work on the same memory with the same numbers.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable
from typing import Any

import numpy as np
from cpu_kernels import CpuKernels
from streams import CudaError, Device, Event, Stream

from layerforge.backends.cupy import CupyOps
from layerforge.backends.cupy.device import DeviceMemory
from layerforge.backends.cupy.recorder import Recorder
from layerforge.core.errors import NotRecordable
from layerforge.testing.capture import VIEWS


def plain(value: Any) -> Any:
    if isinstance(value, TapeArray):
        return value.view(np.ndarray)
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


class TapeArray(np.ndarray):
    """Device memory."""

    tape: Stream

    def _do(self, what: str, function: Callable[..., Any], inputs: Any, named: dict[str, Any], target: Any) -> Any:
        named = {key: plain(value) for key, value in named.items()}
        inputs = plain(inputs)
        if target is not None:
            quiet = np.errstate(all="ignore")(function)
            self.tape.do(lambda: quiet(*inputs, **named))
            return target
        if self.tape.kept is not None:
            raise NotRecordable(f"{what} makes a new array")
        self.tape.finish()
        result = function(*inputs, **named)
        return result.view(type(self)) if isinstance(result, np.ndarray) else result

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

    def set(self, values: np.ndarray, stream: Stream) -> None:
        """The host's memory is read when the copy runs."""
        target, source = plain(self), values
        stream.do(lambda: np.copyto(target, source))

    def get(self, stream: Stream, out: np.ndarray) -> None:
        stream.synchronize()
        np.copyto(out, plain(self))


def waiting(name: str) -> Any:
    """A method that gives the host a value."""

    def method(self: TapeArray, *arguments: Any) -> Any:
        self.tape.synchronize()
        return getattr(plain(self), name)(*arguments)

    return method


for _name in ("item", "tolist", "tobytes", "__bool__", "__int__", "__float__", "__index__"):
    setattr(TapeArray, _name, waiting(_name))


class TapeModule:
    """NumPy as the array module of the device: what it makes are device arrays."""

    def __init__(self, kind: type[TapeArray]) -> None:
        self._kind = kind

    def __getattr__(self, name: str) -> Any:
        value = getattr(np, name)
        if name not in ("zeros", "ones", "full", "empty", "arange", "asarray", "array"):
            return value

        def make(*arguments: Any, **named: Any) -> Any:
            made = value(*arguments, **named)
            if isinstance(made, TapeArray) or not isinstance(made, np.ndarray):
                return made
            if self._kind.tape.kept is not None:
                raise NotRecordable(f"{name} makes a new array")
            return made.copy().view(self._kind) if name == "asarray" else made.view(self._kind)

        return make


class TapeKernels(CpuKernels):
    def __init__(self, xp: Any, tape: Stream) -> None:
        super().__init__()
        self.xp, self.tape = xp, tape

    def run(self, *arguments: Any, dtype: Any) -> None:
        run, given = super().run, plain(arguments)
        self.tape.do(lambda: run(*given, dtype=dtype))


class TapeRecorder(Recorder):
    def address(self, array: np.ndarray) -> int:
        return int(array.ctypes.data)


class Pool:
    """A pool of memory, and which one gives memory now: the device's own is None."""

    now: Any = None

    def malloc(self, size: int) -> None:
        """Nothing asks for it here."""

    @classmethod
    @contextlib.contextmanager
    def using(cls, allocator: Any) -> Any:
        before, cls.now = cls.now, allocator.__self__
        try:
            yield
        finally:
            cls.now = before


def fake_cupy(device: Device, kind: type[TapeArray]) -> Any:
    """What the backend asks of the module cupy."""
    member = types.SimpleNamespace
    cuda = member(
        runtime=member(CUDARuntimeError=CudaError), memory=member(OutOfMemoryError=MemoryError),
        Device=lambda number: contextlib.nullcontext(), Stream=lambda non_blocking: Stream(device, non_blocking),
        Event=Event, alloc_pinned_memory=bytearray, MemoryPool=Pool, using_allocator=Pool.using,
    )
    return types.SimpleNamespace(cuda=cuda, zeros=lambda n, dtype: np.zeros(n, dtype).view(kind),
                                 empty=lambda n, dtype: np.full(n, 0x55, dtype).view(kind))


class TapeBackend:
    """The device. records=False: the same arithmetic without recordings; order: of its streams, one of ORDERS."""

    name, device = "tape", "tape"

    def __init__(self, records: bool = True, order: str = "at once") -> None:
        self.streams = Device(order)
        self.tape = self.stream = Stream(self.streams)
        kind = type("Array", (TapeArray,), {"tape": self.tape})
        cupy = fake_cupy(self.streams, kind)
        self.xp: Any = TapeModule(kind)
        self.representation = DeviceMemory(cupy, 0, self.tape)
        self.ops = CupyOps(self.xp, TapeKernels(self.xp, self.tape))
        if records:
            self.recorder = TapeRecorder(cupy, self.tape, self.ops.kernels, self.representation)

    def synchronize(self) -> None:
        self.stream.synchronize()


@contextlib.contextmanager
def failing(backend: TapeBackend):
    """Inside, CUDA refuses every recording."""
    backend.tape.fails = True
    try:
        yield
    finally:
        backend.tape.fails = False
