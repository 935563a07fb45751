"""Builds kernel files for the CPU and stands in for `Kernels`, so that the CuPy ops run on NumPy arrays without a GPU."""

from __future__ import annotations

import ctypes
import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layerforge.backends.cupy.kernels import FOLDER, REALS, THREADS, typed

HERE = Path(__file__).parent
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: kernels cannot be built for the CPU")


def kernel_names(file: str) -> list[str]:
    """The kernels of a file, in its order."""
    return re.findall(r'extern "C" __global__ void\s+(?:__launch_bounds__\(\w+\)\s+)?(\w+)\(', (FOLDER / file).read_text())


@functools.cache
def library(file: str, real: np.dtype[Any]) -> ctypes.CDLL:
    """The file as a shared library with a function run_NAME(grid, block, addresses) for each kernel."""
    folder = Path(tempfile.mkdtemp(prefix="layerforge-kernels-"))
    source = folder / "kernels.cpp"
    lines = [f'#include "{HERE / "cpu_shim.h"}"', f'#include "{FOLDER / file}"', *(f"KERNEL({name})" for name in kernel_names(file))]
    source.write_text("\n".join(lines) + "\n")
    try:
        made = subprocess.run(
            ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-Wall", "-Wno-unknown-pragmas", "-Wno-unused-function", "-Wno-unused-variable",
             f"-DREAL={REALS[real]}", f"-I{FOLDER}", "-o", folder / "kernels.so", source], capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        return ctypes.CDLL(folder / "kernels.so")
    finally:
        shutil.rmtree(folder)


class CpuKernels:
    """`launch` as the GPU's `Kernels` has it, on NumPy arrays."""

    def launch(self, file: str, kernel: str, grid: int, *arguments: Any, dtype: Any = np.float32) -> None:
        real = np.dtype(dtype)
        assert 1 <= grid < 2**31
        held = [self.holder(typed(a, real)) for a in arguments]
        addresses = (ctypes.c_void_p * len(held))(*(a.ctypes.data for a in held))
        getattr(library(file, real), f"run_{kernel}")(ctypes.c_uint(grid), ctypes.c_uint(THREADS), addresses)

    @staticmethod
    def holder(value: Any) -> np.ndarray:
        """An array whose first bytes are the argument: an array's address, or the scalar itself."""
        if isinstance(value, np.ndarray):
            return np.array(value.ctypes.data, np.uint64)
        assert isinstance(value, np.generic), f"a kernel cannot take {value!r}"
        return np.array(value)
