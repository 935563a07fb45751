"""What a plan decided, as rows: who runs which layers, by which kernels, in which layouts, and why others do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from layerforge.core.use import Access, Use
from layerforge.engines.lowering import Kernel, Refusal, Speeds
from layerforge.graph.figures import is_product
from layerforge.graph.lower import Plan
from layerforge.graph.step import Step
from layerforge.layers.base import Layer


@dataclass(frozen=True)
class StepRow:
    """One step.

    layers, types   of the layers that run as one
    kernels         in the order they run; none where the layers run themselves
    flops           multiplications and additions of forward; 0 where the engine does not say
    backward_flops  those of backward: as many for each gradient that a product computes
    nbytes, backward_nbytes   what the passes read and write of the net's values, in the layouts they take
    is_product      it is a matter of arithmetic; others of memory
    compute_type    of the values that its kernels read, FP32 or BF16
    index           its first layer's number
    """

    layers: tuple[str, ...]
    types: tuple[str, ...]
    engine: str
    kernels: tuple[Kernel, ...]
    flops: int
    refusals: tuple[Refusal, ...]
    backward_flops: int = 0
    nbytes: int = 0
    backward_nbytes: int = 0
    is_product: bool = False
    compute_type: str = "FP32"
    index: int = 0


def explain(plan: Plan, layers: Sequence[Layer]) -> list[StepRow]:
    """A row per step, in order. Of a Net: `explain(net.plan, net.layers)`."""
    rows = []
    for choice in plan.choices:
        step = choice.step
        covered = [layers[i] for i in step.layers]
        names, types = tuple(layer.name for layer in covered), tuple(layer.type for layer in covered)
        kernels, flops = tuple(getattr(step, "kernels", list)()), getattr(step, "flops", 0)
        engine, refusals = step.engine, choice.refusals
        reason = getattr(getattr(step, "work", None), "reason", "")  # of shapes that came later
        if reason:
            engine, refusals = "layer", (*refusals, Refusal(step.engine, reason))
        forward, backward = step.uses()
        rows.append(StepRow(
            names, types, engine, kernels, flops, refusals, flops * _gradients(step), _moved(forward),
            _moved(backward), is_product(covered[0]), _type(kernels), step.layers[0],
        ))
    return rows


def machine_speeds(plan: Plan) -> Speeds | None:
    """What the machine reaches, by the first engine that can tell."""
    found = (getattr(step, "speeds", None) for step in plan.steps)
    return next((speeds() for speeds in found if speeds is not None), None)


def _gradients(step: Step) -> int:
    """How many gradients a product computes, of its weights and of its bottom; others do their work once."""
    first: Any = step.parts[0]
    if not first.needed:
        return 0
    return sum((first.layer.needs_gradient[0], first.propagate_down[0])) if is_product(first.layer) else 1


def _moved(uses: Iterable[Use]) -> int:
    """Bytes that are read and written; what is changed in place counts twice."""
    return sum(_size(use) * (2 if use.access is Access.UPDATE else 1) for use in uses)


def _size(use: Use) -> int:
    extent = getattr(use.representation, "extent", None)
    if extent is None:
        return use.storage.nbytes
    length, dtype = extent(use.storage.count, use.storage.dtype)
    return int(length * dtype.itemsize)


def _type(kernels: Iterable[Kernel]) -> str:
    reads = (layout for kernel in kernels for name, layout in kernel.layouts if name in ("x", "W"))
    return "BF16" if any(layout.endswith(":bf16") for layout in reads) else "FP32"
