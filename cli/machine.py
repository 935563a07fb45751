"""What this machine can do: processor, usable cores, matrix library, GPUs."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path
from typing import Any

from layerforge.core.errors import DeviceError


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


def usable_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> tuple[int, str]:
    """How many cores this process may use, and what limits them."""
    total = os.cpu_count() or 1
    cores, why = total, f"all {total} of the machine"
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    if affinity < cores:
        cores, why = affinity, f"affinity, of {total}"
    quota = _quota(cgroup)
    if quota is not None and quota < cores:
        cores, why = max(1, math.ceil(quota)), f"control group quota of {quota:g}, of {total}"
    return cores, why


def _quota(cgroup: Path) -> float | None:
    """Processor time per wall time that the control group allows (version 2, then 1), or None."""
    try:
        limit, period = (cgroup / "cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        try:
            limit = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    return None if limit == "max" or int(limit) <= 0 or int(period) <= 0 else int(limit) / int(period)


def matrix_libraries() -> list[dict[str, Any]]:
    """The BLAS and OpenMP libraries that are loaded: what threadpoolctl says of each."""
    import numpy  # noqa: F401  loads its BLAS
    from threadpoolctl import threadpool_info

    return threadpool_info()


def core_type_warning(environment: Any = os.environ) -> str | None:
    """Says so when the environment forces OpenBLAS to kernels of another processor."""
    forced = environment.get("OPENBLAS_CORETYPE")
    if not forced:
        return None
    return f"OPENBLAS_CORETYPE={forced} is set: matrix products may take twice as long; unset it"


def gpus() -> tuple[list[str], str]:
    """The names of the GPUs, and when there are none the reason with its cure."""
    from layerforge.backends.cupy.device import device_count, open_device

    try:
        cupy = open_device(0)
    except DeviceError as error:
        return [], f"{error.message} ({error.hint})"
    found = []
    for i in range(device_count(cupy)):
        about = cupy.cuda.runtime.getDeviceProperties(i)
        found.append(f"{about['name'].decode()}, {about['totalGlobalMem'] / 2**30:.0f} GiB, "
                     f"sm_{about['major']}{about['minor']}, {about['multiProcessorCount']} multiprocessors")
    return found, ""


def versions() -> list[tuple[str, str]]:
    """Names and versions of Python and of the libraries that compute or read files."""
    import importlib.metadata

    found = [("Python", platform.python_version())]
    for package in ("numpy", "protobuf", "lmdb", "h5py", "opencv-python-headless", "onednn-cpu-gomp", "cupy-cuda13x"):
        try:
            found.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
