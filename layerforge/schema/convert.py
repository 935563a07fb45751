"""Tree ↔ the values of netdef: NetDef, LayerDef, SolverDef."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from layerforge.netdef.types import (
    Field,
    Fields,
    LayerDef,
    NetDef,
    NetState,
    ParamSpec,
    Phase,
    SolverDef,
    StateRule,
    Where,
)

_PLACED = ("name", "type", "phase", "bottom", "top", "param", "include", "exclude", "loss_weight", "propagate_down")
_OWN = (*_PLACED, "blobs")


def net_def(net: Fields, file: str = "", where: Where | None = None) -> NetDef:
    """The net of an upgraded tree."""
    return NetDef(
        name=_get(net, "name", ""),
        layers=tuple(layer_def(layer.value, layer.where) for layer in _all(net, "layer")),
        state=net_state(net["state"].value) if "state" in net else NetState(),
        force_backward=_get(net, "force_backward", False),
        debug_info=_get(net, "debug_info", False),
        compute_type=_get(net, "compute_type", ""),
        file=file,
        where=where or (Where(file, 1) if file else None),
    )


def layer_def(layer: Fields, where: Where | None = None) -> LayerDef:
    """One layer. Every field of Caffe's LayerParameter that is not of all layers goes to `params`."""
    return LayerDef(
        name=_get(layer, "name", ""),
        type=_get(layer, "type", ""),
        bottoms=_values(layer, "bottom"),
        tops=_values(layer, "top"),
        include=tuple(state_rule(rule) for rule in _all(layer, "include")),
        exclude=tuple(state_rule(rule) for rule in _all(layer, "exclude")),
        param=tuple(_param_spec(spec) for spec in _all(layer, "param")),
        loss_weight=tuple(float(w) for w in _values(layer, "loss_weight")),
        propagate_down=_values(layer, "propagate_down"),
        phase=Phase[layer["phase"].value] if "phase" in layer else None,
        params={name: value for name, value in layer.items() if name not in _OWN},
        where=where,
        places=dict(_places(layer)),
    )


def solver_def(solver: Fields, file: str = "") -> SolverDef:
    """The solver of an upgraded tree; the nets inside it become NetDefs."""
    fields = dict(solver)
    for name in ("net_param", "train_net_param"):
        if name in fields:
            fields[name] = Field(net_def(fields[name].value, file, fields[name].where), fields[name].where)
    if "test_net_param" in fields:
        nets = tuple(Field(net_def(net.value, file, net.where), net.where) for net in fields["test_net_param"].value)
        fields["test_net_param"] = Field(nets, fields["test_net_param"].where)
    return SolverDef(fields, file, Where(file, 1) if file else None)


def net_state(state: Fields) -> NetState:
    """A NetState message; what is not set has Caffe's defaults (TEST, level 0)."""
    return NetState(Phase[_get(state, "phase", "TEST")], _get(state, "level", 0), _values(state, "stage"))


def state_rule(rule: Field) -> StateRule:
    """A NetStateRule message."""
    r = rule.value
    phase = Phase[r["phase"].value] if "phase" in r else None
    stages, nots = _values(r, "stage"), _values(r, "not_stage")
    return StateRule(phase, _get(r, "min_level", None), _get(r, "max_level", None), stages, nots, rule.where)


def net_fields(net: NetDef) -> dict[str, Field]:
    """The tree of a net: the reverse of net_def."""
    made: dict[str, Any] = {}
    if net.name:
        made["name"] = net.name
    if net.force_backward:
        made["force_backward"] = True
    if net.state != NetState():
        made["state"] = _state_fields(net.state)
    if net.debug_info:
        made["debug_info"] = True
    if net.compute_type:
        made["compute_type"] = net.compute_type
    if net.layers:
        made["layer"] = tuple(Field(layer_fields(layer), layer.where) for layer in net.layers)
    return _fields(made)


def layer_fields(layer: LayerDef) -> dict[str, Field]:
    """The tree of a layer: the reverse of layer_def."""
    made: dict[str, Any] = {"name": layer.name, "type": layer.type, "bottom": layer.bottoms, "top": layer.tops,
                            "loss_weight": layer.loss_weight, "propagate_down": layer.propagate_down}
    made = {name: value for name, value in made.items() if value}
    if layer.phase is not None:
        made["phase"] = layer.phase.name
    specs = [{"name": s.name or None, "share_mode": s.share_mode if s.share_mode != "STRICT" else None,
              "lr_mult": s.lr_mult, "decay_mult": s.decay_mult} for s in layer.param]
    include, exclude = ([_rule_fields(rule) for rule in rules] for rules in (layer.include, layer.exclude))
    lists: dict[str, list[dict[str, Any]]] = {"param": specs, "include": include, "exclude": exclude}
    for name, messages in lists.items():
        if messages:
            made[name] = tuple(_fields({k: v for k, v in m.items() if v is not None}) for m in messages)
    return {**_fields(made), **layer.params}


def solver_fields(solver: SolverDef) -> dict[str, Field]:
    """The tree of a solver: the reverse of solver_def."""
    def plain(value: Any) -> Any:
        if isinstance(value, NetDef):
            return net_fields(value)
        if isinstance(value, tuple):
            return tuple(Field(plain(each.value), each.where) for each in value)
        return value

    return {name: Field(plain(field.value), field.where) for name, field in solver.fields.items()}


def _state_fields(state: NetState) -> dict[str, Field]:
    made: dict[str, Any] = {"phase": state.phase.name, "level": state.level or None, "stage": state.stages or None}
    return _fields({name: value for name, value in made.items() if value is not None})


def _rule_fields(rule: StateRule) -> dict[str, Any]:
    phase = None if rule.phase is None else rule.phase.name
    return {"phase": phase, "min_level": rule.min_level, "max_level": rule.max_level,
            "stage": rule.stages or None, "not_stage": rule.not_stages or None}


def _fields(plain: Mapping[str, Any]) -> dict[str, Field]:
    """Plain values, tuples of plain values, and trees as Fields without places."""
    made = {}
    for name, value in plain.items():
        if isinstance(value, tuple):
            value = tuple(each if isinstance(each, Field) else Field(each) for each in value)
        made[name] = Field(value)
    return made


def _param_spec(spec: Field) -> ParamSpec:
    s = spec.value
    lr, decay = _get(s, "lr_mult", None), _get(s, "decay_mult", None)
    return ParamSpec(_get(s, "name", ""), _get(s, "share_mode", "STRICT"), lr, decay, spec.where)


def _places(layer: Fields) -> Iterator[tuple[str, Where]]:
    for name in _PLACED:
        field = layer.get(name)
        several = field.value if field is not None and isinstance(field.value, tuple) else ()
        if field is not None and field.where is not None:
            yield name, field.where
        for i, each in enumerate(several):
            if each.where is not None:
                yield f"{name}[{i}]", each.where


def _get(fields: Fields, name: str, default: Any) -> Any:
    return fields[name].value if name in fields else default


def _all(fields: Fields, name: str) -> tuple[Field, ...]:
    return fields[name].value if name in fields else ()


def _values(fields: Fields, name: str) -> tuple[Any, ...]:
    return tuple(each.value for each in _all(fields, name))
