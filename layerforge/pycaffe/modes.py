"""The process-wide settings of pycaffe. They live in the facade alone."""

from __future__ import annotations

import logging
import os
import sys
import time
from datetime import datetime
from typing import Any

from layerforge.backends import get_backend
from layerforge.core.errors import DeviceError
from layerforge.core.random import Random
from layerforge.core.threads import set_count
from layerforge.layers.registry import layer_types
from layerforge.netdef.types import Phase
from layerforge.solver.caffe_log import CaffeLog, prefix

TRAIN, TEST = Phase.TRAIN, Phase.TEST
_log = logging.getLogger("layerforge")


class _Modes:
    """mode, device and seed as the last call left them."""

    backend_name = "numpy"
    device = 0
    random: Random | None = None
    made = 0  # nets since the seed was set
    solver_count, solver_rank, multiprocess = 1, 0, False


def set_mode_cpu() -> None:
    """Nets made from now on run on the processor."""
    _Modes.backend_name = "numpy"


def set_mode_gpu() -> None:
    """Nets made from now on run on the GPU of `set_device`."""
    _Modes.backend_name = "cupy"


def set_device(device: int) -> None:
    """Chooses the GPU by its number."""
    _Modes.device = int(device)


def set_threads(threads: int | None) -> None:
    """Nets made from now on compute on so many threads; None: on as many as OMP_NUM_THREADS says, else on all cores
    that the process may use."""
    if threads is not None and (isinstance(threads, bool) or int(threads) != threads or threads < 1):
        raise ValueError(f"set_threads takes a number of at least 1, or None; got {threads!r}")
    set_count(None if threads is None else int(threads))


def set_random_seed(seed: int) -> None:
    """Nets made from now on fill and draw from this seed; nets made one after the other differ."""
    _Modes.random = Random(int(seed))
    _Modes.made = 0


def backend() -> Any:
    """The backend of the current mode."""
    return get_backend(_Modes.backend_name, _Modes.device)


def random() -> Random | None:
    """The random streams of the next net; None before any `set_random_seed`."""
    if _Modes.random is None:
        return None
    _Modes.made += 1
    return Random(_Modes.random.seed) if _Modes.made == 1 else Random(_Modes.random.seed).child(f"net{_Modes.made}")


def layer_type_list() -> list[str]:
    """The names of all layer types."""
    return sorted(layer_types())


class _Glog(logging.Formatter):
    """Lines as Caffe's log has them: "I1120 18:27:58.910188 14308 solver.cpp:239] Iteration 0, …"."""

    def format(self, record: logging.LogRecord) -> str:
        source = getattr(record, "caffe", f"{record.filename}:{record.lineno}")
        return prefix(datetime.fromtimestamp(record.created), source, record.levelname[0]) + record.getMessage()


class Logged(CaffeLog):
    """What a solver does, in Caffe's words, into the log."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def write(self, text: str, source: str) -> None:
        _log.info("%s", text, extra={"caffe": source})


def init_log(level: int | None = None, stderr: bool = True) -> None:
    """Sends the log to standard error, in Caffe's form.

    level  glog's: 0 INFO, 1 WARNING, 2 ERROR; None: what the environment says in GLOG_minloglevel, else 0
    """
    if level is None:
        level = int(os.environ.get("GLOG_minloglevel") or 0)
    if stderr and not _log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_Glog())
        _log.addHandler(handler)
        _log.propagate = False
    _log.setLevel({0: logging.INFO, 1: logging.WARNING, 2: logging.ERROR}.get(level, logging.CRITICAL))


def log(message: str) -> None:
    """Writes a line into the log."""
    _log.info("%s", message, stacklevel=2)


class Timer:
    """Measures what lies between start() and stop(); `ms` and `us` in milliseconds and microseconds."""

    def __init__(self) -> None:
        self._from = self._to = 0.0

    def start(self) -> None:
        self._from = time.perf_counter()

    def stop(self) -> None:
        backend().synchronize()
        self._to = time.perf_counter()

    @property
    def ms(self) -> float:
        return (self._to - self._from) * 1e3

    @property
    def us(self) -> float:
        return (self._to - self._from) * 1e6


class NCCL:
    """In Caffe: adds gradients up over GPUs. A script that asks `has_nccl` first never meets it."""

    def __init__(self, *_: Any) -> None:
        self.new_uid()

    @staticmethod
    def new_uid() -> str:
        """A name for a group of processes.

        Raises DeviceError.
        """
        raise DeviceError("a Python script cannot train on several GPUs yet", hint="train on one; has_nccl() says so")


def has_nccl() -> bool:
    """Whether gradients can be added up over GPUs from Python."""
    return False


def solver_count() -> int:
    """How many solvers train together."""
    return _Modes.solver_count


def set_solver_count(count: int) -> None:
    """Says how many solvers train together."""
    _Modes.solver_count = int(count)


def solver_rank() -> int:
    """The number of this solver; 0 is the root."""
    return _Modes.solver_rank


def set_solver_rank(rank: int) -> None:
    """Says which solver this is."""
    _Modes.solver_rank = int(rank)


def set_multiprocess(several: bool) -> None:
    """Says that each solver has a process of its own."""
    _Modes.multiprocess = bool(several)
