"""Graphs as execution plans: built once, chosen by time among those that compute the right thing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from layerforge.core.errors import DeviceError
from layerforge.engines.cudnn.graphs import Key, Maker


class NoPlan(DeviceError):
    """No plan of cuDNN computes a graph right on this device."""


@dataclass
class Plan:
    """A built graph: run it with an array for every name in `tensors`.

    name       of the kernel that cuDNN chose
    workspace  bytes
    index      its number in cuDNN's order of preference
    seconds    that building it took: some kernels are compiled then
    """

    graph: Any
    tensors: dict[str, Any]
    name: str
    workspace: int
    index: int = 0
    seconds: float = 0.0


def finalise(cudnn: Any, key: Key, index: int = 0, **how: Any) -> Plan:
    """The plan with this number in cuDNN's order of preference, or the next that can be built. `how` goes to the graph:
    a handle, or the properties of a device that is not here.

    Raises DeviceError when cuDNN has none.
    """
    began = time.perf_counter()
    try:
        make = Maker(cudnn, key.kind, **how)
        key.build(make)
        graph = make.graph
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
        if key.kind == "FP32" and key.products:  # float32 products would else be made of TF32 ones
            graph.deselect_numeric_notes([cudnn.numerical_note.TENSOR_CORE])
        at = _build_first(graph, index)
    except Exception as error:  # the frontend raises types of its own, and RuntimeError
        raise DeviceError(f"cuDNN has no plan for {key}: {_first_line(error)}") from error
    name, workspace = graph.get_plan_name_at_index(at), graph.get_workspace_size_plan_at_index(at)
    return Plan(graph, make.tensors, name, workspace, at, time.perf_counter() - began)


def count(plan: Plan) -> int:
    """How many plans there are for this graph."""
    return int(plan.graph.get_execution_plan_count())


def _build_first(graph: Any, index: int) -> int:
    """Builds the plan with this number, or the next that can be built."""
    problem: Exception | None = None
    for at in range(index, graph.get_execution_plan_count()):
        try:
            graph.build_plan_at_index(at)
            return at
        except Exception as error:
            problem = problem or error
    raise problem or RuntimeError("no engine takes it")


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__


@dataclass(frozen=True)
class Candidate:
    """A measured plan: its number, seconds a run, and its largest error against the reference, in units of its largest
    value."""

    index: int
    seconds: float
    error: float


TOLERANCE = {"BF16": 2e-2, "FP16": 4e-3, "TF32": 4e-3, "FP32": 1e-4}


def choose(candidates: Sequence[Candidate], kind: str) -> Candidate | None:
    """The fastest of those that are right; None if none is. NaN is never right."""
    right = [each for each in candidates if each.error <= TOLERANCE[kind]]
    return min(right, key=lambda each: (each.seconds, each.index), default=None)


def measure(
    indexes: Iterable[int],
    run: Callable[[int], Callable[[], None]],
    seconds: Callable[[Callable[[], None]], float],
    error: Callable[[], float],
) -> Iterator[Candidate]:
    """Times and checks plans, one after the other.

    run      makes plan number i ready; a plan that cannot be built or run, or has no room to, is left out
    seconds  of one run
    error    of what the last run left
    """
    for index in indexes:
        try:
            ready = run(index)
            ready()
            taken = seconds(ready)
        except (DeviceError, RuntimeError, MemoryError):
            continue
        yield Candidate(index, taken, error())
