"""The kernel files built for the CPU, and a launcher that runs them on NumPy arrays."""

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

from layerforge.backends.cupy.kernels import FOLDER, REALS, THREADS, typed
from layerforge.backends.cupy.launcher import Launcher

SHIM = Path(__file__).with_name("cpu_shim.h")
FLAGS = (
    "-std=c++17",
    "-O1",
    "-shared",
    "-fPIC",
    "-fno-strict-aliasing",
    "-U_FORTIFY_SOURCE",  # which takes a jump to another stack for a mistake
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unknown-pragmas",
    "-Wno-unused-function",
    "-Wno-sign-compare",
)


def kernel_texts(file: str) -> dict[str, str]:
    """The kernels of a file, in its order: name → text."""
    start = r'extern "C" __global__ void\s+(?:__launch_bounds__\(\w+\)\s+)?(\w+)\('
    _, *parts = re.split(start, (FOLDER / file).read_text("utf-8"))
    return dict(zip(parts[0::2], parts[1::2]))


BUILT = Path(tempfile.gettempdir(), f"layerforge-kernels-{os.getuid() if hasattr(os, 'getuid') else 0}")


@functools.cache
def library(file: str, real: np.dtype[Any]) -> ctypes.CDLL:
    """The file as a shared library with a function run_NAME(grid, block, addresses) for each kernel.

    Kept from run to run under the hash of all it is made of.
    """
    kernels = [f"KERNEL({name}, {int('EACH(' not in text)})" for name, text in kernel_texts(file).items()]
    lines = [f'#include "{SHIM}"', f'#include "{FOLDER / file}"', *kernels]
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
        if not self.muted:
            self.run(file, kernel, grid, *arguments, dtype=dtype)

    def run(self, file: str, kernel: str, grid: int, *arguments: Any, dtype: Any) -> None:
        """The kernel, now."""
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


def needs_compiler() -> None:
    """Skips a test where kernels cannot be built."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed: kernels cannot be built for the CPU")
