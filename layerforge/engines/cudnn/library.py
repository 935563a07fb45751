"""cuDNN through nvidia-cudnn-frontend: loading it, and running graphs on the device."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from layerforge.backends.cupy.layout import KINDS, cast_numbers
from layerforge.core.errors import DeviceError
from layerforge.engines.cudnn.choices import Choices, choices_path
from layerforge.engines.cudnn.context import STORED
from layerforge.engines.cudnn.graphs import Key
from layerforge.engines.cudnn.plans import NoPlan, Plan, choose, count, finalise, measure
from layerforge.engines.cudnn.reference import Reference, least, takes_outputs

INSTALL = "pip install 'layerforge[gpu]'"
OLDEST = 91900  # 9.19
TRIED = 8  # plans of a graph that are timed, in cuDNN's order of preference
ENOUGH = 0.5  # seconds of building after which no further plan of a graph is tried: kernels may have to be compiled
RUNS = 5  # a timing
VALUES = ("x", "dy", "z")  # inputs of graphs that may overflow
DRAWN = 65521  # numbers, a prime, that stand in for ones that are not finite
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

    reference  gives what plans are held against
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
            self._plans[key] = self._known(key, arrays) or self._chosen(key, arrays)
        plan = self._plans[key]
        self._execute(plan, arrays, self._workspace(plan.workspace))

    def _execute(self, plan: Plan, arrays: dict[str, Any], workspace: Any) -> None:
        if self._backend.ops.kernels.muted:
            return
        pointers = {plan.tensors[name]: address(array) for name, array in arrays.items()}
        plan.graph.execute(pointers, address(workspace), handle=self._handle)

    def _workspace(self, size: int) -> Any:
        if not self._workspaces or self._workspaces[-1].nbytes < size:
            self._backend.ops.kernels.must_not_record("workspace has to be taken first")
            self._workspaces.append(self._some(max(size, 1 << 20)))
        return self._workspaces[-1]

    def _some(self, size: int) -> Any:
        return self._backend.xp.empty(max(size, 1), np.uint8)

    def _known(self, key: Key, arrays: dict[str, Any]) -> Plan | None:
        """The plan of an earlier run, if cuDNN still has it under this name, and it runs."""
        known = self._choices.get(key)
        if known is None:
            return None
        try:
            plan = self._plan(key, known[0])
            if plan.name != known[1]:
                return None
            self._execute(plan, arrays, self._some(plan.workspace))
        except (DeviceError, RuntimeError, MemoryError):  # the frontend raises RuntimeError
            return None
        return plan

    def _plan(self, key: Key, index: int) -> Plan:
        """The plan with this number: building one takes up to seconds, so the first is not built twice."""
        first = self._first.pop(key, None)
        return first if first is not None and index == 0 else finalise(self._cudnn, key, index, handle=self._handle)

    def _chosen(self, key: Key, arrays: dict[str, Any]) -> Plan:
        """The fastest plan that is right, for this run and later ones. Raises NoPlan."""
        try:
            plan = self._choose(key, self._finite(key, arrays))
        finally:
            self._backend.xp.get_default_memory_pool().free_all_blocks()  # what comparing took may be half the device
        self._choices.put(key, plan.index, plan.name)
        return plan

    def _choose(self, key: Key, arrays: dict[str, Any]) -> Plan:
        """The fastest that is right of the first plans. Raises NoPlan."""
        plans: dict[int, Plan] = {}
        wanted: dict[str, Any] | None = None

        def built() -> Iterator[int]:
            index = 0
            while len(plans) < TRIED:
                try:
                    plan = self._plan(key, index)
                except (DeviceError, RuntimeError) as error:
                    if not plans:
                        raise NoPlan(str(getattr(error, "message", error)), hint=SWITCH_OFF) from error
                    return
                plans[plan.index] = plan
                yield plan.index
                index = plan.index + 1
                if index >= count(plan):
                    return

        def ready(index: int) -> Callable[[], None]:
            room = self._some(plans[index].workspace)
            return lambda: self._execute(plans[index], arrays, room)

        def error() -> float:
            nonlocal wanted
            if wanted is None or takes_outputs(key):
                wanted = self._wanted(key, arrays)
            return self._error(key, arrays, wanted)

        found = []
        for candidate in measure(built(), ready, self._seconds, error):
            found.append(candidate)
            if sum(plan.seconds for plan in plans.values()) >= ENOUGH and choose(found, key.kind):
                break
        best = choose(found, key.kind)
        if best is None:
            errors = [f"{candidate.error:.2g}" for candidate in found]
            raise NoPlan(f"no plan of cuDNN computes {key} right: their errors are {errors}", hint=SWITCH_OFF)
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

    def _wanted(self, key: Key, arrays: dict[str, Any]) -> dict[str, Any]:
        """The outputs by our own arithmetic in float32; where that has none by a float32 plan, which nothing checks."""
        wide = {name: self._widened(key, array) for name, array in arrays.items()}
        own = self._own.outputs(key, wide)
        if own is not None or key.kind == "FP32":
            return own or {}
        exact = replace(key, kind="FP32")
        if exact not in self._plans:
            self._plans[exact] = self._known(exact, wide) or self._choose(exact, wide)
        plan = self._plans[exact]
        self._execute(plan, wide, self._some(plan.workspace))
        return {name: wide[name] for name in key.outputs}

    def _finite(self, key: Key, arrays: dict[str, Any]) -> dict[str, Any]:
        """The same arrays, but drawn numbers in the place of values that have overflowed: they would say nothing about
        plans."""
        spoilt = [name for name in VALUES if name in arrays and not math.isfinite(self._largest(key, arrays[name]))]
        return {**arrays, **{name: self._drawn(key, arrays[name]) for name in spoilt}}

    def _drawn(self, key: Key, array: Any) -> Any:
        xp, kernels = self._backend.xp, self._backend.ops.kernels
        some = kernels.table(np.random.default_rng(1).standard_normal(DRAWN), np.float32)
        wide, made = xp.tile(some, -(-array.size // DRAWN))[: array.size], xp.empty(array.size, array.dtype)
        cast_numbers(kernels, wide, "FP32", made, STORED.get(key.kind, key.kind))
        return made

    def _largest(self, key: Key, array: Any) -> float:
        return float(self._backend.xp.abs(self._widened(key, array)).max())

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
            floor = least(key, name, lambda each: self._largest(key, arrays[each]))
            worst = max(worst, difference / max(float(xp.abs(want).max()), floor, 1e-30))
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
