"""cuDNN through nvidia-cudnn-frontend: loading it, and running graphs on the device."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from layerforge.backends.cupy.layout import KINDS, cast_numbers
from layerforge.core.errors import DeviceError
from layerforge.engines.cudnn.choices import Choices, choices_path
from layerforge.engines.cudnn.context import STORED
from layerforge.engines.cudnn.graphs import Key
from layerforge.engines.cudnn.plans import NoPlan, Plan, choose, count, finalise, measure
from layerforge.engines.cudnn.reference import Reference

INSTALL = "pip install 'layerforge[gpu]'"
OLDEST = 91900  # 9.19
TRIED = 8  # plans of a graph that are timed, in cuDNN's order of preference
RUNS = 5  # a timing
SWITCH_OFF = "LAYERFORGE_ENGINE=NONE runs the net without cuDNN"


@functools.cache
def load() -> Any:
    """The module cudnn.

    Raises DeviceError when it, or the library behind it, is missing or too old.
    """
    if importlib.util.find_spec("cudnn") is None:
        raise DeviceError("nvidia-cudnn-frontend is not installed, the cuDNN engine needs it", hint=INSTALL)
    try:
        cudnn = importlib.import_module("cudnn")
        version = int(cudnn.backend_version())
    except Exception as error:  # it raises what its broken libraries raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DeviceError(f"cuDNN is installed but cannot be loaded: {reason}", hint=INSTALL) from error
    if version < OLDEST:
        raise DeviceError(f"cuDNN is of version {version_text(version)}, the engine needs 9.19", hint=INSTALL)
    return cudnn


def version_text(version: int) -> str:
    """92800 as "9.28.0"."""
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}"


class CudnnRunner:
    """Runs graphs on one device. A graph's plans are timed at its first run, and checked.

    reference  gives what float32 plans are held against
    """

    def __init__(self, cudnn: Any, backend: Any, choices: Choices, reference: Any = None) -> None:
        self._cudnn, self._backend, self._choices = cudnn, backend, choices
        self._own = reference or Reference(backend)
        self._handle = cudnn.create_handle()
        cudnn.set_stream(handle=self._handle, stream=backend.stream.ptr)
        self._plans: dict[Key, Plan] = {}
        self._refusals: dict[Key, str] = {}
        self._first: dict[Key, Plan] = {}  # built to see whether there are any, and not yet run
        self._workspaces: list[Any] = []  # kept for ever: recorded iterations point into them

    def check(self, key: Key) -> str:
        """Why cuDNN does not take this graph, "" if it does."""
        if key not in self._refusals:
            try:
                self._first[key] = finalise(self._cudnn, key, handle=self._handle)
                self._refusals[key] = ""
            except DeviceError as error:
                self._refusals[key] = error.message
        return self._refusals[key]

    def plan_name(self, key: Key) -> str:
        return self._plans[key].name if key in self._plans else ""

    def run(self, key: Key, arrays: dict[str, Any]) -> None:
        if key not in self._plans:
            self._backend.ops.kernels.must_not_record("a plan of cuDNN has to be chosen first")
            self._plans[key] = self._known(key, arrays) or self._choose(key, arrays)
        self._execute(self._plans[key], arrays)

    def _execute(self, plan: Plan, arrays: dict[str, Any]) -> None:
        if self._backend.ops.kernels.muted:
            return
        pointers = {plan.tensors[name]: address(array) for name, array in arrays.items()}
        plan.graph.execute(pointers, self._workspace(plan.workspace), handle=self._handle)

    def _workspace(self, size: int) -> int:
        if not self._workspaces or self._workspaces[-1].nbytes < size:
            self._backend.ops.kernels.must_not_record("workspace has to be taken first")
            self._workspaces.append(self._backend.xp.empty(max(size, 1 << 20), np.uint8))
        return int(self._workspaces[-1].data.ptr)

    def _known(self, key: Key, arrays: dict[str, Any]) -> Plan | None:
        """The plan of an earlier run, if cuDNN still has it under this name, and it runs."""
        known = self._choices.get(key)
        if known is None:
            return None
        try:
            plan = self._plan(key, known[0])
            if plan.name != known[1]:
                return None
            self._execute(plan, arrays)
        except (DeviceError, RuntimeError):  # the frontend raises RuntimeError
            return None
        return plan

    def _plan(self, key: Key, index: int) -> Plan:
        """The plan with this number: building one takes a tenth of a second, so the first is not built twice."""
        first = self._first.pop(key, None)
        return first if first is not None and index == 0 else finalise(self._cudnn, key, index, handle=self._handle)

    def _choose(self, key: Key, arrays: dict[str, Any]) -> Plan:
        """The fastest plan that is right. Raises NoPlan."""
        try:
            first = self._plan(key, 0)
            reference = self._reference(key, arrays)
        except (DeviceError, RuntimeError) as error:
            raise NoPlan(str(getattr(error, "message", error)), hint=SWITCH_OFF) from error
        plans = {0: first}

        def ready(index: int) -> Callable[[], None]:
            plans[index] = plans.get(index) or finalise(self._cudnn, key, index, handle=self._handle)
            return lambda: self._execute(plans[index], arrays)

        def error() -> float:
            wanted = reference or self._own_outputs(key, arrays)
            return self._error(key, arrays, wanted) if wanted else 0.0

        found = measure(range(min(TRIED, count(first))), ready, self._seconds, error)
        best = choose(found, key.kind)
        if best is None:
            errors = [f"{candidate.error:.2g}" for candidate in found]
            raise NoPlan(f"no plan of cuDNN computes {key} right: their errors are {errors}", hint=SWITCH_OFF)
        self._choices.put(key, best.index, plans[best.index].name)
        return plans[best.index]

    def _seconds(self, run: Callable[[], None]) -> float:
        cuda, stream = self._backend.xp.cuda, self._backend.stream
        begin, end = cuda.Event(), cuda.Event()
        begin.record(stream)
        for _ in range(RUNS):
            run()
        end.record(stream)
        end.synchronize()
        return float(cuda.get_elapsed_time(begin, end)) / 1e3 / RUNS

    def _reference(self, key: Key, arrays: dict[str, Any]) -> dict[str, Any] | None:
        """Of other kinds than FP32: the outputs by a float32 plan without tensor cores. That is held against our own
        arithmetic, as every plan of kind FP32 is."""
        if key.kind == "FP32":
            return None
        exact = replace(key, kind="FP32")
        wide = {name: self._widened(key, array) for name, array in arrays.items()}
        if exact not in self._plans:
            self._plans[exact] = self._known(exact, wide) or self._choose(exact, wide)
        self._execute(self._plans[exact], wide)
        return {name: wide[name] for name in key.outputs}

    def _own_outputs(self, key: Key, arrays: dict[str, Any]) -> dict[str, Any] | None:
        return self._own.outputs(key, {name: self._widened(key, array) for name, array in arrays.items()})

    def _widened(self, key: Key, array: Any) -> Any:
        """The same numbers as float32, in the same order; others than the key's are copied."""
        kind = STORED.get(key.kind, key.kind)
        if array.dtype != np.dtype(KINDS[kind][1]) or array.dtype == np.float32:
            return array.copy()
        wide = self._backend.xp.empty(array.size, np.float32)
        cast_numbers(self._backend.ops.kernels, array, kind, wide, "FP32")
        return wide

    def _error(self, key: Key, arrays: dict[str, Any], reference: dict[str, Any]) -> float:
        """The largest difference of any output, in units of that output's largest value."""
        xp, worst = self._backend.xp, 0.0
        for name, want in reference.items():
            difference = float(xp.abs(self._widened(key, arrays[name]) - want).max())
            if math.isnan(difference):
                return difference
            worst = max(worst, difference / max(float(xp.abs(want).max()), 1e-30))
        return worst


def address(array: Any) -> int:
    """Where it lies: on the host for NumPy's own, else on the device."""
    return int(array.ctypes.data) if type(array) is np.ndarray else int(array.data.ptr)


@functools.cache
def shared_runner(backend: Any) -> CudnnRunner:
    """The runner of a backend's device.

    Raises DeviceError.
    """
    cudnn = load()
    about = backend.xp.cuda.runtime.getDeviceProperties(backend.number)
    device = f"{about['name'].decode()}, compute capability {about['major']}.{about['minor']}"
    version = version_text(int(cudnn.backend_version()))
    return CudnnRunner(cudnn, backend, Choices(choices_path(), device, version))
