"""What this machine can do: processor, usable cores, matrix library, GPUs."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path
from typing import Any

from layerforge import engines
from layerforge.core import threads
from layerforge.core.errors import DeviceError
from layerforge.core.running import Running
from layerforge.core.threads import usable_cores as usable_cores
from layerforge.engines.onednn.compiled import compiler
from layerforge.engines.onednn.library import load


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, with the widest vector instructions it has."""
    name, flags = platform.processor() or platform.machine(), ""
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                name = value.strip()
            if key.strip() == "flags":
                flags = value
                break
    known = (("amx_bf16", "AMX"), ("avx512_bf16", "AVX-512 with bfloat16"), ("avx512f", "AVX-512"), ("avx2", "AVX2"))
    widest = next((label for flag, label in known if flag in flags.split()), "")
    return f"{name} ({widest})" if widest else name


def matrix_libraries() -> list[dict[str, Any]]:
    """The BLAS and OpenMP libraries that are loaded: what threadpoolctl says of each."""
    import numpy  # noqa: F401  loads its BLAS
    from threadpoolctl import threadpool_info

    return threadpool_info()


def compute_types() -> str:
    """In which types nets can compute on this processor, and why not in the other."""
    from layerforge.engines.onednn.library import check_type

    try:
        check_type("BF16")
    except DeviceError as error:
        return f"FP32 ({error.message})"
    return "FP32, BF16"


CORES = {
    128: "PRESCOTT CORE2 PENRYN DUNNINGTON NEHALEM ATOM ATHLON OPTERON OPTERON_SSE3 BARCELONA BOBCAT",
    256: "SANDYBRIDGE BULLDOZER PILEDRIVER STEAMROLLER HASWELL EXCAVATOR ZEN",
    512: "SKYLAKEX COOPERLAKE SAPPHIRERAPIDS",
}
"""OpenBLAS's names of processors, by the bits of their vectors."""


def core_type_warning(environment: Any = os.environ, bits: int | None = None) -> str | None:
    """Says so when the environment forces OpenBLAS to narrower vectors than the processor's, or to unknown kernels."""
    forced = environment.get("OPENBLAS_CORETYPE")
    own = vector_bits() if bits is None else bits
    known = next((width for width, names in CORES.items() if str(forced).upper() in names.split()), 0)
    if not forced or known >= own:
        return None
    vectors = f"{known} of this processor's {own} bits a vector" if known else "kernels of another kind"
    return f"OPENBLAS_CORETYPE={forced} is set: matrix products use {vectors} and may take twice as long; unset it"


def vector_bits(cpuinfo: Path = Path("/proc/cpuinfo")) -> int:
    """The widest vectors of the processor that OpenBLAS has kernels for; 0 where that is not known."""
    flags = set(cpuinfo.read_text(errors="replace").split()) if cpuinfo.exists() else set()
    return 512 if "avx512f" in flags else 256 if flags & {"avx", "avx2"} else 128 if "sse2" in flags else 0


def cpu_engine() -> list[tuple[str, str]]:
    """The engine that computes nets on the CPU, or why there is none and what it would bring."""
    if os.environ.get(engines.VARIABLE, "").upper() == "NONE":
        return [("CPU engine", f"none: {engines.VARIABLE}=NONE switches it off, and NumPy computes")]
    try:
        library = load()
    except DeviceError as error:
        return [("CPU engine", f"none: {error.message}; NumPy computes"),
                ("", f"with oneDNN nets run 2.5 to 5 times as fast: {error.hint}")]
    with Running(threads.count(), library.pool).computing():
        count = library.pool.count
    rows = [("CPU engine", f"oneDNN {library.version}, {count} threads{', bfloat16' if library.bf16 else ''}")]
    if compiler() is None:
        rows.append(("", "without compiled loops nets with BatchNorm train a tenth slower: pip install llvmlite"))
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        if os.environ.get(name, "ALL").upper() not in ("ALL", "DEFAULT"):
            rows.append(("Warning", f"{name}={os.environ[name]} is set: oneDNN leaves wider vectors unused; unset it"))
    return rows


def gpus() -> tuple[list[str], str]:
    """The names of the GPUs, and when there are none the reason with its cure."""
    from layerforge.backends.cupy.device import describe, device_count, open_device

    try:
        cupy = open_device(0)
    except DeviceError as error:
        return [], f"{error.message} ({error.hint})"
    return [describe(cupy, i) for i in range(device_count(cupy))], ""


def require_gpu(number: int) -> None:
    """Raises DeviceError when the GPU with this number cannot be used."""
    from layerforge.backends.cupy.device import open_device

    open_device(number)


def gpu_libraries() -> list[tuple[str, str]]:
    """What the GPU backend is made of: versions, and what is missing with its cure."""
    from layerforge.backends.cupy import device

    found, missing = device.packages()
    rows = [("GPU libraries", ", ".join(f"{name} {version}" for name, version in found) or "none")]
    with contextlib.suppress(DeviceError):
        rows.insert(0, ("CUDA", device.versions(device.load_cupy())))
    needed = [name for name in missing if name in device.PACKAGES]
    optional = [f"{name} ({device.OPTIONAL[name]})" for name in missing if name in device.OPTIONAL]
    if needed:
        rows.append(("GPU libraries missing", f"{', '.join(needed)} ({device.INSTALL})"))
    if optional:
        rows.append(("Optional, not there", f"{', '.join(optional)}; pip install 'layerforge[gpu-io]'"))
    return rows


def versions() -> list[tuple[str, str]]:
    """Names and versions of Python and of the libraries that compute or read files."""
    import importlib.metadata

    found = [("Python", platform.python_version())]
    for package in ("numpy", "protobuf", "lmdb", "h5py", "opencv-python-headless", "onednn-cpu-gomp", "llvmlite",
                    "cupy-cuda13x"):
        try:
            found.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
