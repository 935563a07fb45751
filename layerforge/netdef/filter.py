"""Which layers of a definition a net has: include and exclude rules against phase, level and stages."""

from __future__ import annotations

from dataclasses import replace

from layerforge.core.errors import NetError
from layerforge.netdef.types import NetDef, NetState, StateRule


def meets(state: NetState, rule: StateRule) -> bool:
    """Whether the state satisfies every condition of the rule; an empty rule is always met."""
    return (
        (rule.phase is None or rule.phase == state.phase)
        and (rule.min_level is None or state.level >= rule.min_level)
        and (rule.max_level is None or state.level <= rule.max_level)
        and all(stage in state.stages for stage in rule.stages)
        and not any(stage in state.stages for stage in rule.not_stages)
    )


def filter_net(definition: NetDef, state: NetState) -> NetDef:
    """The layers that are in a net of this state: with include rules at least one is met, else no exclude rule is.

    Layers without a phase of their own get the state's.

    Raises NetError for a layer with both kinds of rules.
    """
    kept = []
    for layer in definition.layers:
        if layer.include and layer.exclude:
            raise NetError(f"{layer}: has include and exclude rules, only one kind is possible", where=layer.where,
                           hint="an exclude rule can be written as include { not_stage: ... } or with the other phase")
        rules = layer.include or layer.exclude
        if any(meets(state, rule) for rule in rules) == bool(layer.include):
            kept.append(layer if layer.phase is not None else replace(layer, phase=state.phase))
    return replace(definition, layers=tuple(kept), state=state)
