"""Lowering: each layer, or a run of them, goes to the first engine that takes it, else to its own verbs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layerforge.core.errors import NetError
from layerforge.engines.lowering import Engine, Refusal
from layerforge.graph.step import LayerStep, Step


@dataclass(frozen=True)
class Choice:
    """Who runs a step, and why others do not, or not in the type that the net asks for."""

    step: Step
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The steps in order, with the choices that led to them."""

    choices: tuple[Choice, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(choice.step for choice in self.choices)


def lower(steps: Sequence[LayerStep], engines: Sequence[Engine] = ()) -> Plan:
    """The plan of these layers.

    Raises NetError when the text pins an engine that refuses the layer, with its reason.
    """
    choices: list[Choice] = []
    index = 0
    while index < len(steps):
        choice = _choose(steps, index, engines)
        choices.append(choice)
        index = max(choice.step.layers) + 1
    return Plan(tuple(choices))


def _choose(steps: Sequence[LayerStep], index: int, engines: Sequence[Engine]) -> Choice:
    layer = steps[index].layer
    pinned = str(getattr(layer.params, "engine", "DEFAULT") or "DEFAULT")
    refusals: list[Refusal] = []
    for engine in engines if pinned != "CAFFE" else ():
        lowered = engine.lower(steps, index)
        if not isinstance(lowered, Refusal):
            return Choice(lowered, (*refusals, *getattr(lowered, "refusals", ())))
        refusals.append(lowered)
        if engine.name == pinned:
            raise NetError(
                f"{layer.definition}: engine {pinned} refuses: {lowered.reason}",
                where=layer.params.where("engine"),
                hint="remove the field engine, and the plan chooses",
            )
    return Choice(steps[index], tuple(refusals))
