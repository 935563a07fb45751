"""The flags that several commands share, and what they mean: device, threads, stages, weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from layerforge.backends import get_backend
from layerforge.cli import machine
from layerforge.cli.flags import Flag, UsageError
from layerforge.core.errors import DeviceError
from layerforge.core.threads import limited as threads_of_work
from layerforge.engines import COMPUTE_TYPES, default_engines
from layerforge.netdef.types import NetDef

EFFECTS = ("snapshot", "stop", "none")

SOLVER = Flag("solver", str, "", "the solver's prototxt", "FILE", caffe=True)
MODEL = Flag("model", str, "", "the net's prototxt", "FILE", caffe=True)
WEIGHTS = Flag("weights", str, "", "weights to start from (.caffemodel, .h5, .safetensors), separated by commas",
               "FILES", caffe=True)
SNAPSHOT = Flag("snapshot", str, "", "the .solverstate to go on from", "FILE", caffe=True)
ITERATIONS = Flag("iterations", int, 50, "batches to run", "N", least=1, caffe=True)
PHASE = Flag("phase", str, "", "the phase of the net", choices=("TRAIN", "TEST"), caffe=True)
LEVEL = Flag("level", int, 0, "the level of the net", "N", caffe=True)
STAGE = Flag("stage", str, "", "the stages of the net, separated by commas", "NAMES", caffe=True)
GPU = Flag("gpu", str, "", "GPU numbers separated by commas, or all; without it the CPU computes", "IDS", caffe=True)
SIGINT = Flag("sigint_effect", str, "stop", "what Ctrl-C does (stop saves and ends)", choices=EFFECTS, caffe=True)
SIGHUP = Flag("sighup_effect", str, "snapshot", "what SIGHUP does", choices=EFFECTS, caffe=True)
CPU = Flag("cpu", bool, False, "computes on the CPU, whatever the solver says")
THREADS = Flag("threads", int, None, "most threads for matrix products; without it, all usable cores", "N", least=1)
COMPUTE_TYPE = Flag("compute_type", str, "", "what products are computed in, whatever the texts say", "TYPE",
                    choices=COMPUTE_TYPES)
LOG = Flag("log", str, "", "the file for the log lines", "FILE")

CAFFE = (SOLVER, MODEL, WEIGHTS, SNAPSHOT, ITERATIONS, PHASE, LEVEL, STAGE, GPU, SIGINT, SIGHUP)
"""The flags of Caffe's own program."""


def need(value: str, flag: str, what: str) -> str:
    """The value of a flag that must be given."""
    if not value:
        raise UsageError(f"--{flag} is missing: {what}")
    return value


def names(text: str) -> tuple[str, ...]:
    """The parts of a list with commas; empty ones are dropped."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def backend(gpu: str, cpu: bool = False, solver: Any = None) -> Any:
    """The backend for --gpu and --cpu, else for the solver's solver_mode and device_id, else NumPy.

    solver  SolverParams, or None
    Raises DeviceError when the device is missing, UsageError for a list that makes no sense.
    """
    if cpu and gpu:
        raise UsageError("--cpu and --gpu exclude each other")
    if gpu:
        return get_backend("cupy", _device(gpu))
    if solver is None or cpu or not solver.has("solver_mode") or solver.solver_mode == "CPU":
        return get_backend("numpy")
    try:
        return get_backend("cupy", solver.device_id)
    except DeviceError as error:
        raise DeviceError(f"the solver says solver_mode: GPU, but {error.message}", where=solver.where("solver_mode"),
                          hint=f"{error.hint}; --cpu or solver_mode: CPU trains on the CPU") from None


def _device(gpu: str) -> int:
    if gpu == "all":
        return 0
    ids = names(gpu)
    if not ids or not all(part.isdigit() for part in ids):
        raise UsageError(f"--gpu takes numbers separated by commas, or all; got {gpu!r}")
    if len(ids) > 1:
        raise DeviceError("several GPUs at once are not built in yet", hint=f"use one: --gpu {ids[0]}")
    return int(ids[0])


def net(path: str, compute_type: str = "") -> NetDef:
    """The net of a file, with the compute_type of the command line if there is one."""
    from layerforge.schema.read import read_net

    definition = read_net(path)
    return replace(definition, compute_type=compute_type or definition.compute_type)


def device_line(chosen: Any) -> str:
    """What Caffe says about the device."""
    return "Use CPU." if chosen.name == "numpy" else f"Use GPU with device ID {chosen.device}"


@contextlib.contextmanager
def limited(threads: int | None) -> Iterator[None]:
    """Runs the block with at most this many threads; None: as many as there are usable cores.

    Where an engine computes, the threads are its own, and NumPy's matrix products get one: the two pools would wait for
    each other's spinning threads.

    BLAS counts the cores of the machine, not those that a control group leaves: in a container of two cores on a
    machine of sixty-four its threads would wait for one another most of the time.
    """
    from threadpoolctl import threadpool_limits

    engines = default_engines(get_backend())  # loads its library, and so the threads that are to be limited
    most = threads or machine.usable_cores()[0]
    limits = {"blas": 1 if engines else most, "openmp": most}
    for library in machine.matrix_libraries() if threads is None else ():
        kind = library["user_api"]
        limits[kind] = min(limits[kind], library["num_threads"])  # what the environment asks for counts
    with threadpool_limits(limits=limits), threads_of_work(limits["openmp"]):
        yield
