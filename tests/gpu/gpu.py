"""The GPU that the scripts of this folder run on; LAYERFORGE_GPU=stand-in proves them without one, at a small size."""

from __future__ import annotations

import functools
import gc
import os
import types
from typing import Any

import numpy as np

from layerforge.backends import get_backend
from layerforge.core.errors import DeviceError, OutOfMemory

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


def used_bytes(backend: Any, live: bool = False) -> int:
    """Of the device, by everything on it; live: without what CuPy keeps for later."""
    if live:
        gc.collect()
    backend.synchronize()
    if live:
        backend.xp.get_default_memory_pool().free_all_blocks()
    free, total = backend.xp.cuda.runtime.memGetInfo()
    return int(total - free)


@functools.cache
def stand_in() -> Any:
    """A device of NumPy that answers as a GPU with CuPy does, as far as the scripts ask; its cuDNN is NumPy's too."""
    from numpy_cudnn import NumpyRunner
    from tape import TapeArray, TapeBackend

    from layerforge.engines.cudnn import library

    backend: Any = TapeBackend()
    backend.name, backend.device, backend.number, backend.use = "cupy", "cuda:0", 0, lambda: None
    backend.xp = Module(backend.xp)
    backend.representation.zeros = limited(backend.representation.zeros)
    copy = TapeArray.get
    TapeArray.get = lambda array, stream=None, out=None: (  # type: ignore[method-assign]
        np.array(array) if out is None else copy(array, stream, out))
    library.shared_runner = NumpyRunner  # type: ignore[assignment]
    return backend


def limited(zeros: Any) -> Any:
    """Memory that is full where a GPU's would be."""

    def take(count: int, dtype: Any) -> Any:
        if count * np.dtype(dtype).itemsize > LARGEST:
            raise OutOfMemory("GPU 0 has no memory for so much", LARGEST, hint="use a smaller batch_size")
        return zeros(count, dtype)

    return take


class Module:
    """NumPy with what is asked of cupy.cuda."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp
        about = {"name": b"stand-in", "totalGlobalMem": LARGEST, "major": 9, "minor": 0, "multiProcessorCount": 1}
        runtime = types.SimpleNamespace(
            memGetInfo=lambda: (LARGEST, LARGEST), getDeviceProperties=lambda number: about, getDeviceCount=lambda: 1,
            driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000, CUDARuntimeError=RuntimeError,
        )
        self.cuda = types.SimpleNamespace(runtime=runtime)
        self.get_default_memory_pool = lambda: types.SimpleNamespace(free_all_blocks=lambda: None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)
