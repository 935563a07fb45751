"""The GPU that scripts of this folder run on, or the stand-in for it: LAYERFORGE_GPU=stand-in proves the scripts without
one, with few iterations and small nets."""

from __future__ import annotations

import gc
import os
import types
from typing import Any

import numpy as np

from layerforge.backends import get_backend
from layerforge.core.errors import DeviceError

STANDS_IN = os.environ.get("LAYERFORGE_GPU") == "stand-in"
LARGEST = 1 << 30  # bytes that the stand-in gives at once


def few(count: int, small: int) -> int:
    """How often something is done: `small` times on the stand-in."""
    return small if STANDS_IN else count


def open_gpu() -> Any:
    """The backend of GPU 0.

    Raises DeviceError with the reason why there is none.
    """
    return stand_in() if STANDS_IN else get_backend("cupy")


def reason() -> str:
    """Why there is no GPU to use, "" if there is one."""
    try:
        open_gpu()
    except DeviceError as error:
        return f"no GPU: {error.message}"
    return ""


def used_bytes(backend: Any) -> int:
    """Of the device, by everything on it."""
    gc.collect()
    backend.synchronize()
    free, total = backend.xp.cuda.runtime.memGetInfo()
    return int(total - free)


_made: list[Any] = []


def stand_in() -> Any:
    """A device of NumPy that answers as a GPU with CuPy does, as far as the scripts ask; its cuDNN is NumPy's too."""
    if not _made:
        from numpy_cudnn import NumpyRunner
        from tape import TapeArray, TapeBackend

        from layerforge.engines.cudnn import library

        backend: Any = TapeBackend()
        backend.name, backend.device, backend.number = "cupy", "cuda:0", 0
        backend.use = lambda: None
        backend.xp = Module(backend.xp, backend.stream if hasattr(backend, "stream") else backend.tape)
        zeros = backend.representation.zeros

        def limited(count: int, dtype: Any) -> Any:
            if count * np.dtype(dtype).itemsize > LARGEST:
                raise DeviceError("unreachable") if backend is None else full(count)
            return zeros(count, dtype)

        backend.representation.zeros = limited
        get = TapeArray.get if hasattr(TapeArray, "get") else None
        TapeArray.get = lambda array, stream=None, out=None: (  # type: ignore[attr-defined]
            np.array(array) if out is None else get(array, stream, out))
        library.shared_runner = lambda made: NumpyRunner(made)  # type: ignore[assignment]
        _made.append(backend)
    return _made[0]


def full(count: int) -> Exception:
    """What a full device says."""
    from layerforge.core.errors import OutOfMemory

    return OutOfMemory(f"GPU 0 has no memory for {count} values", LARGEST, hint="use a smaller batch_size")


class Module:
    """NumPy with what is asked of cupy.cuda."""

    def __init__(self, xp: Any, stream: Any) -> None:
        self._xp = xp
        about = {"name": b"stand-in", "totalGlobalMem": LARGEST, "major": 9, "minor": 0, "multiProcessorCount": 1}
        runtime = types.SimpleNamespace(
            memGetInfo=lambda: (LARGEST, LARGEST), getDeviceProperties=lambda number: about,
            driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000, getDeviceCount=lambda: 1,
            CUDARuntimeError=RuntimeError,
        )
        self.cuda = types.SimpleNamespace(runtime=runtime)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)
