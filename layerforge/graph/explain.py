"""What a plan decided, as rows: who runs which layers, by which kernels, in which layouts, and why others do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layerforge.engines.lowering import Kernel, Refusal
from layerforge.graph.lower import Plan
from layerforge.layers.base import Layer


@dataclass(frozen=True)
class StepRow:
    """One step.

    layers, types   of the layers that run as one
    kernels         in the order they run; none where the layers run themselves
    flops           multiplications and additions of forward; 0 where the engine does not say
    """

    layers: tuple[str, ...]
    types: tuple[str, ...]
    engine: str
    kernels: tuple[Kernel, ...]
    flops: int
    refusals: tuple[Refusal, ...]


def explain(plan: Plan, layers: Sequence[Layer]) -> list[StepRow]:
    """A row per step, in order. Of a Net: `explain(net.plan, net.layers)`."""
    rows = []
    for choice in plan.choices:
        step = choice.step
        covered = [layers[i] for i in step.layers]
        names, types = tuple(layer.name for layer in covered), tuple(layer.type for layer in covered)
        kernels, flops = tuple(getattr(step, "kernels", list)()), getattr(step, "flops", 0)
        rows.append(StepRow(names, types, step.engine, kernels, flops, choice.refusals))
    return rows
