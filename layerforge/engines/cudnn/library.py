"""cuDNN through nvidia-cudnn-frontend: loading it, and running graphs on the device."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from layerforge.backends.cupy.layout import KINDS, ChannelsLast, Form
from layerforge.core.errors import DeviceError
from layerforge.core.files import replacing
from layerforge.engines.cudnn.context import STORED
from layerforge.engines.cudnn.graphs import Key
from layerforge.engines.cudnn.plans import Plan, choose, count, finalise, measure

INSTALL = "pip install 'layerforge[gpu]'"
OLDEST = 91900  # 9.19
TRIED = 8  # plans of a graph that are timed, in cuDNN's order of preference
RUNS = 5  # a timing


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


class Choices:
    """The plans that were chosen on a kind of device, kept in a file: graph → number and name of the plan."""

    def __init__(self, path: Path | None, device: str, version: str) -> None:
        self._path, self._where = path, f"{device}, cuDNN {version}"
        self._all: dict[str, dict[str, list[Any]]] = {}
        if path is not None and path.exists():
            try:
                self._all = dict(json.loads(path.read_text("utf-8")))
            except (OSError, ValueError):
                self._all = {}  # made anew

    def get(self, key: Key) -> tuple[int, str] | None:
        held = self._all.get(self._where, {}).get(repr(key))
        return (int(held[0]), str(held[1])) if isinstance(held, list) and len(held) == 2 else None

    def put(self, key: Key, index: int, name: str) -> None:
        self._all.setdefault(self._where, {})[repr(key)] = [index, name]
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(str(self._path)) as temporary:
                    Path(temporary).write_text(json.dumps(self._all, indent=1), "utf-8")
            except OSError:
                self._path = None  # a folder that cannot be written costs the timings of the next run, no more


def choices_path(environment: Any = os.environ) -> Path:
    """Where chosen plans are kept."""
    base = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "layerforge" / "cudnn-plans.json"


class CudnnRunner:
    """Runs graphs on one device. A graph's plans are timed at its first run, and checked against float32 ones."""

    def __init__(self, cudnn: Any, backend: Any, choices: Choices) -> None:
        self._cudnn, self._backend, self._choices = cudnn, backend, choices
        self._handle = cudnn.create_handle()
        cudnn.set_stream(handle=self._handle, stream=backend.stream.ptr)
        self._plans: dict[Key, Plan] = {}
        self._workspaces: list[Any] = []  # kept for ever: recorded iterations point into them

    def check(self, key: Key) -> str:
        """Why cuDNN does not take this graph, "" if it does."""
        try:
            finalise(self._cudnn, key, handle=self._handle)
        except DeviceError as error:
            return error.message
        return ""

    def run(self, key: Key, arrays: dict[str, Any]) -> None:
        if key not in self._plans:
            self._backend.ops.kernels.must_not_record("a plan of cuDNN has to be chosen first")
            self._plans[key] = self._choose(key, arrays)
        self._execute(self._plans[key], arrays)

    def _execute(self, plan: Plan, arrays: dict[str, Any]) -> None:
        if self._backend.ops.kernels.muted:
            return
        pointers = {plan.tensors[name]: int(array.data.ptr) for name, array in arrays.items()}
        plan.graph.execute(pointers, self._workspace(plan.workspace), handle=self._handle)

    def _workspace(self, size: int) -> int:
        if not self._workspaces or self._workspaces[-1].nbytes < size:
            self._backend.ops.kernels.must_not_record("workspace has to be taken first")
            self._workspaces.append(self._backend.xp.empty(max(size, 1 << 20), np.uint8))
        return int(self._workspaces[-1].data.ptr)

    def _choose(self, key: Key, arrays: dict[str, Any]) -> Plan:
        """The fastest plan that is right; the one of an earlier run if cuDNN still has it."""
        known = self._choices.get(key)
        first = finalise(self._cudnn, key, handle=self._handle)
        if known is not None:
            plan = finalise(self._cudnn, key, known[0], handle=self._handle)
            if plan.name == known[1]:
                return plan
        plans = {0: first}
        reference = self._reference(key, arrays)

        def ready(index: int) -> Callable[[], None]:
            plans[index] = plans.get(index) or finalise(self._cudnn, key, index, handle=self._handle)
            return lambda: self._execute(plans[index], arrays)

        found = measure(
            range(min(TRIED, count(first))), ready, self._seconds, lambda: self._error(key, arrays, reference)
        )
        best = choose(found, key.kind)
        if best is None:
            raise DeviceError(
                f"no plan of cuDNN computes {key} right: the errors are {[f'{c.error:.2g}' for c in found]}",
                hint="LAYERFORGE_ENGINE=NONE runs the net without cuDNN",
            )
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

    def _reference(self, key: Key, arrays: dict[str, Any]) -> dict[str, Any]:
        """The outputs by a float32 plan without tensor cores."""
        exact = replace(key, kind="FP32")
        plan = finalise(self._cudnn, exact, handle=self._handle)
        wide = {name: self._widened(key, array) for name, array in arrays.items()}
        self._execute(plan, wide)
        return {name: wide[name] for name in key.outputs}

    def _widened(self, key: Key, array: Any) -> Any:
        """The same numbers as float32, in the same order; float32 ones are copied."""
        kind = STORED.get(key.kind, key.kind)
        if array.dtype == np.float32:
            return array.copy()
        assert array.dtype == np.dtype(KINDS[kind][1])
        wide = self._backend.xp.empty(array.size, np.float32)
        flat = Form(1, 1, array.size, 1, kind)
        ChannelsLast(flat, self._backend.representation, self._backend.ops.kernels).unpack(array, wide)
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


@functools.cache
def shared_runner(backend: Any) -> CudnnRunner:
    """The runner of a backend's device.

    Raises DeviceError.
    """
    cudnn = load()
    name = backend.xp.cuda.runtime.getDeviceProperties(backend.number)["name"].decode()
    return CudnnRunner(cudnn, backend, Choices(choices_path(), name, version_text(int(cudnn.backend_version()))))
