"""Every field of every layer's Params against the schema: name, kind, repeated, default, choices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from layerforge.layers.registry import built_in
from layerforge.netdef.params import Params, Spec
from layerforge.schema.kinds import FieldKind, MessageKind, message_kind

KINDS = {int: "int", float: "float", bool: "bool", str: "string"}


def reachable() -> Iterator[tuple[str, type[Params], MessageKind | None]]:
    """Every Params class of a layer with its message, also nested ones and those beside the layer's own."""
    layer = message_kind("LayerParameter").fields
    for name, cls in sorted(built_in().items()):
        waiting = [(cls.Params, layer[cls.Params.message].message if cls.Params.message in layer else None)]
        while waiting:
            params, message = waiting.pop()
            kind = message_kind(message) if message else None
            if params.specs():
                yield name, params, kind
            for field, spec in params.specs().items():
                if not issubclass(spec.kind, Params):
                    continue
                holder = layer if spec.beside else kind.fields if kind else {}
                held = holder.get(spec.kind.message if spec.beside else field)
                waiting.append((spec.kind, held.message if held else None))


CASES = {f"{name}-{params.__name__}": (params, kind) for name, params, kind in reachable()}


@pytest.mark.parametrize("case", CASES)
def test_parameters_agree_with_the_schema(case):
    params, kind = CASES[case]
    own = {name: spec for name, spec in params.specs().items() if not spec.beside}
    assert kind is not None or not own, f"{params.__name__} reads {params.message!r}, which the schema lacks"
    assert [problem for name, spec in own.items() for problem in problems(name, spec, kind)] == []


def problems(name: str, spec: Spec, kind: MessageKind) -> Iterator[str]:
    """What differs between a declared field and that of the message."""
    field = kind.fields.get(name)
    if field is None:
        yield f"{kind.name} has no field {name}"
        return
    other = "message" if issubclass(spec.kind, Params) else KINDS[spec.kind]
    wanted = "enum" if spec.choices and field.kind == "enum" else other
    if field.kind != wanted:
        yield f"{name} is {wanted} here, {field.kind} in {kind.name}"
    elif field.repeated != spec.repeated:
        yield f"{name} is {'repeated' if spec.repeated else 'single'} here, not in {kind.name}"
    elif field.kind == "enum" and not set(spec.choices) <= set(field.values):
        yield f"{name}: {kind.name} lacks {set(spec.choices) - set(field.values)}"
    elif not same_default(spec, field):
        yield f"{name} is {spec.default!r} by default here, {field.default!r} in {kind.name}"


def same_default(spec: Spec, field: FieldKind) -> bool:
    """None says that the absence of the field means something of its own; the schema then gives no default either."""
    if field.kind == "message" or field.repeated or spec.required:
        return True
    if spec.default is None:
        return field.default == {"int": 0, "float": 0.0, "bool": False, "string": ""}.get(field.kind, field.default)
    if field.kind == "float":
        return np.float32(spec.default) == np.float32(field.default)
    return spec.default == field.default
