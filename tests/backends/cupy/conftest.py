"""Builds kernel files for the CPU and stands in for `Kernels`, so that the CuPy ops run on NumPy arrays."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layerforge.backends import get_backend
from layerforge.backends.cupy import CupyOps
from layerforge.backends.cupy.kernels import FOLDER, REALS, THREADS, typed
from layerforge.backends.cupy.launcher import Launcher
from layerforge.backends.numpy import NumpyOps
from layerforge.core.errors import DeviceError

SHIM = Path(__file__).with_name("cpu_shim.h")
FLAGS = (
    "-std=c++17",
    "-O1",
    "-shared",
    "-fPIC",
    "-fno-strict-aliasing",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unknown-pragmas",
    "-Wno-unused-function",
    "-Wno-sign-compare",
)


def kernel_names(file: str) -> list[str]:
    """The kernels of a file, in its order."""
    return re.findall(
        r'extern "C" __global__ void\s+(?:__launch_bounds__\(\w+\)\s+)?(\w+)\(', (FOLDER / file).read_text("utf-8")
    )


BUILT = Path(tempfile.gettempdir(), f"layerforge-kernels-{os.getuid() if hasattr(os, 'getuid') else 0}")


@functools.cache
def library(file: str, real: np.dtype[Any]) -> ctypes.CDLL:
    """The file as a shared library with a function run_NAME(grid, block, addresses) for each kernel.

    Kept from run to run under the hash of all it is made of.
    """
    lines = [f'#include "{SHIM}"', f'#include "{FOLDER / file}"', *(f"KERNEL({name})" for name in kernel_names(file))]
    macros = [f"-DREAL={REALS[real]}", f"-DBACKWARDS={int(real == np.float64)}"]
    parts = [SHIM, FOLDER / file, *sorted(FOLDER.glob("*.cuh"))]
    text = "\0".join([*lines, *FLAGS, *macros, *(part.read_text("utf-8") for part in parts)])
    BUILT.mkdir(mode=0o700, exist_ok=True)
    assert not hasattr(os, "getuid") or BUILT.stat().st_uid == os.getuid(), f"{BUILT} belongs to someone else"
    built = BUILT / f"{Path(file).stem}-{hashlib.sha256(text.encode()).hexdigest()[:24]}.so"
    if not built.exists():
        with tempfile.TemporaryDirectory(dir=BUILT) as folder:
            source, made = Path(folder, "kernels.cpp"), Path(folder, "kernels.so")
            source.write_text("\n".join(lines) + "\n", "utf-8")
            command = ["g++", *FLAGS, *macros, f"-I{FOLDER}", "-o", made, source]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            made.replace(built)
    return ctypes.CDLL(str(built))


class CpuKernels(Launcher):
    """`launch` as the GPU's `Kernels` has it, on NumPy arrays, in few blocks so that kernels take several steps."""

    most_blocks = 3

    def __init__(self) -> None:
        super().__init__(np)

    def launch(self, file: str, kernel: str, grid: int, *arguments: Any, dtype: Any = np.float32) -> None:
        if self.muted:
            return
        real = np.dtype(dtype)
        assert 1 <= grid < 2**31
        held = [self._holder(typed(a, real)) for a in arguments]
        addresses = (ctypes.c_void_p * len(held))(*(a.ctypes.data for a in held))
        getattr(library(file, real), f"run_{kernel}")(
            ctypes.c_uint(min(grid, self.most_blocks)), ctypes.c_uint(THREADS), addresses
        )

    @staticmethod
    def _holder(value: Any) -> np.ndarray:
        """An array whose first bytes are the argument: an array's address, or the scalar itself."""
        if isinstance(value, np.ndarray):
            return np.array(value.ctypes.data, np.uint64)
        assert isinstance(value, np.generic), f"a kernel cannot take {value!r}"
        return np.array(value)


def gpu_ops() -> CupyOps:
    """The ops of GPU 0; skips where there is none."""
    try:
        return get_backend("cupy").ops
    except DeviceError as error:
        pytest.skip(f"no GPU: {error.message}")


GUARD = 4096  # bytes before and behind each array of a kernel, which must stay as they are


class Both:
    """The NumPy ops, and the CuPy ops on the CPU or the GPU, fed with the same host arrays.

    `compare("softmax", x, out=np.empty_like(x))` runs both and compares every array that was given.
    """

    numpy = NumpyOps()

    def __init__(self, ops: Any, real: Any) -> None:
        self.ops, self.real = ops, np.dtype(real)
        self._rooms: list[Any] = []

    def draw(self, rng: np.random.Generator, *shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(self.real)

    def on_device(self, value: Any) -> Any:
        """A copy of an array between two guards; everything else as it is."""
        if not isinstance(value, np.ndarray):
            return value
        room = self.ops.xp.full(value.nbytes + 2 * GUARD, 0xA5, np.uint8)
        self._rooms.append(room)
        array = room[GUARD : GUARD + value.nbytes].view(value.dtype).reshape(value.shape)
        array[...] = self.ops.xp.asarray(value)
        return array

    def on_host(self, value: Any) -> np.ndarray:
        return value.get() if hasattr(value, "get") else value

    def compare(self, method: str, *arguments: Any, rtol: float | None = None, **named: Any) -> None:
        device = [self.on_device(a) for a in arguments], {name: self.on_device(a) for name, a in named.items()}
        getattr(self.numpy, method)(*arguments, **named)
        getattr(self.ops, method)(*device[0], **device[1])
        rtol = (1e-4 if self.real == np.float32 else 1e-11) if rtol is None else rtol
        for want, got in zip([*arguments, *named.values()], [*device[0], *device[1].values()], strict=True):
            if isinstance(want, np.ndarray):
                largest = float(np.abs(want[np.isfinite(want)]).max(initial=0))
                np.testing.assert_allclose(self.on_host(got), want, rtol=rtol, atol=rtol * max(1.0, largest))
        self.check_guards(method)

    def check_guards(self, method: str) -> None:
        """Fails if anything was written beside an array that was put on the device."""
        while self._rooms:
            room = self.on_host(self._rooms.pop())
            assert (room[:GUARD] == 0xA5).all() and (room[-GUARD:] == 0xA5).all(), f"{method} wrote beside an array"


REALS_AND_PLACES = [
    pytest.param(f"{place}-{real}", marks=[pytest.mark.gpu] if place == "gpu" else [])
    for place in ("cpu", "gpu")
    for real in ("float32", "float64")
]


@pytest.fixture(params=REALS_AND_PLACES)
def both(request: pytest.FixtureRequest) -> Both:
    """Each comparison runs with the kernels built for the CPU, and on a GPU where there is one."""
    place, real = request.param.split("-")
    if place == "gpu":
        return Both(gpu_ops(), real)
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed: kernels cannot be built for the CPU")
    return Both(CupyOps(np, CpuKernels()), real)
