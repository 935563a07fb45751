"""The `.cu` files: compiled when first used, once a process, file and number type; launched with typed arguments.

A kernel file stands alone (it includes common.cuh only), holds `extern "C"` kernels, and computes in the type REAL.
Tests stand another class with the method `launch` in the place of `Kernels`, which runs the same files on the CPU.
"""

from __future__ import annotations

import functools
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from layerforge.backends.cupy.launcher import Launcher
from layerforge.core.errors import DeviceError

FOLDER = Path(__file__).parent
THREADS = 256  # a block, as in common.cuh
MOST_BLOCKS = 132 * 32  # enough to fill the largest device; kernels step through what is left
REALS = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


def options(dtype: Any) -> tuple[str, ...]:
    """The compiler's options for a file whose numbers are of this type.

    Raises DeviceError for a type no kernel has.
    """
    if np.dtype(dtype) not in REALS:
        raise DeviceError(f"the kernels have no numbers of type {np.dtype(dtype)}", hint="use float32 or float64")
    headers = zlib.crc32(b"".join(path.read_bytes() for path in sorted(FOLDER.glob("*.cuh"))))
    # CuPy keeps compiled files on disk by source and options; a changed header must change one of them
    return ("-std=c++17", f"-DREAL={REALS[np.dtype(dtype)]}", f"-DHEADERS={headers}u", f"-I{FOLDER}")


def blocks(count: int) -> int:
    """The blocks of a launch in which a thread takes one of `count` elements, or several of very many."""
    return max(1, min(-(-count // THREADS), MOST_BLOCKS))


def typed(value: Any, dtype: np.dtype[Any]) -> Any:
    """A Python number as the kernels declare it: int is a 32-bit int, float is REAL, None a null pointer.

    Everything else stays: a kernel's 64-bit arguments are given as np.int64, np.uint64 or np.float64.
    """
    if value is None:
        return np.uint64(0)
    if isinstance(value, np.generic):  # np.float64 is a float too
        return value
    if isinstance(value, (bool, int)):
        if not -(2**31) <= value < 2**31:  # NumPy before 2 wraps it silently
            raise OverflowError(f"{value} is no 32-bit int")
        return np.int32(value)
    return dtype.type(value) if isinstance(value, float) else value


@functools.cache
def module(file: str, real: np.dtype[Any], device: int) -> Any:
    """The compiled file on this device.

    Raises DeviceError when it does not compile, or no compiler is found.
    """
    import cupy

    try:
        compiled = cupy.RawModule(code=(FOLDER / file).read_text("ascii"), options=options(real))
        compiled.compile()
    except cupy.cuda.compiler.CompileException as error:
        raise DeviceError(
            f"{file} does not compile for this GPU: {error}",
            hint="the cupy and CUDA versions must fit each other: cupy-cuda13x needs CUDA 13",
        ) from error
    except (ImportError, OSError, RuntimeError) as error:  # NVRTC itself is missing or broken
        raise DeviceError(f"{file} cannot be compiled: {error}", hint="pip install 'layerforge[gpu]'") from error
    return compiled


@functools.cache
def function(file: str, kernel: str, real: np.dtype[Any], device: int) -> Any:
    """One kernel of a compiled file."""
    return module(file, real, device).get_function(kernel)


class Kernels(Launcher):
    """Launches kernels on the stream of one device."""

    def __init__(self, xp: Any, device: int, stream: Any) -> None:
        super().__init__(xp)
        self.device, self.stream = device, stream

    def launch(self, file: str, kernel: str, grid: int, *arguments: Any, dtype: Any = np.float32) -> None:
        """Runs `kernel` of `file` in `grid` blocks of THREADS threads.

        dtype      what REAL is
        arguments  device arrays, ints (32 bits), floats (REAL), or NumPy scalars as they are
        """
        if self.muted:
            return
        real = np.dtype(dtype)
        run = function(file, kernel, real, self.device)
        run((grid,), (THREADS,), tuple(typed(a, real) for a in arguments), stream=self.stream)
