"""What each message may hold: the descriptors, and the Params of plugins, as plain tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as D

from layerforge.core.errors import NetError
from layerforge.netdef.params import Params, Spec
from layerforge.schema.messages import descriptor, is_repeated

_INTEGERS = {
    D.TYPE_INT32: (-(2**31), 2**31 - 1), D.TYPE_INT64: (-(2**63), 2**63 - 1),
    D.TYPE_UINT32: (0, 2**32 - 1), D.TYPE_UINT64: (0, 2**64 - 1),
}
_SCALARS = {
    D.TYPE_FLOAT: "float", D.TYPE_DOUBLE: "float", D.TYPE_BOOL: "bool", D.TYPE_STRING: "string", D.TYPE_BYTES: "bytes",
}


@dataclass(frozen=True, slots=True)
class FieldKind:
    """One field.

    kind     "int", "float", "bool", "string", "bytes", "enum" or "message"
    number   its number on the wire; 0 for fields of plugins
    low, high  the range of an int
    values   names and numbers of an enum, several names may share a number
    quoted   an enum that may also be written as a text (choices of plugins)
    message  the name of the message, or the Params class of a plugin
    default  the value that counts when the field is not set; None for messages and repeated fields
    """

    name: str
    kind: str
    repeated: bool = False
    number: int = 0
    low: int = -(2**63)
    high: int = 2**63 - 1
    values: Mapping[str, int] | None = None
    quoted: bool = False
    message: str | type[Params] = ""
    default: Any = None


@dataclass(frozen=True, slots=True)
class MessageKind:
    """One message: its name and its fields by name."""

    name: str
    fields: Mapping[str, FieldKind]


_made: dict[str | type[Params], MessageKind] = {}
_declared: dict[str, type[Params]] = {}


def declare(name: str, params: type[Params]) -> None:
    """Adds a message that layers of texts may have from now on; what the schema has already stays as it is.

    Raises NetError when another class declares the same name.
    """
    known = _declared.get(name, params)
    if known.__qualname__ != params.__qualname__:
        raise NetError(f"two classes declare the message {name!r}: {known.__qualname__} and {params.__qualname__}")
    if name not in message_kind("LayerParameter").fields:
        _declared[name] = params


def declared() -> Mapping[str, type[Params]]:
    """The messages that were declared, with their Params."""
    return _declared


def message_kind(message: str | type[Params]) -> MessageKind:
    """The table of a message of the schema, or of a plugin's Params."""
    if message not in _made:
        _made[message] = _make(message)
    return _made[message]


def _make(message: str | type[Params]) -> MessageKind:
    if isinstance(message, str):
        return MessageKind(message, {f.name: _from_descriptor(f) for f in descriptor(message).fields})
    own = {name: _from_spec(name, spec) for name, spec in message.specs().items() if not spec.beside}
    return MessageKind(message.message or message.__name__, own)


def _from_descriptor(field: Any) -> FieldKind:
    repeated = is_repeated(field)
    common = {"name": field.name, "repeated": repeated, "number": field.number}
    if field.type == D.TYPE_MESSAGE:
        return FieldKind(kind="message", message=field.message_type.full_name.removeprefix("layerforge."), **common)
    default = None if repeated else field.default_value
    if field.type == D.TYPE_ENUM:
        values = {v.name: v.number for v in field.enum_type.values}
        if default is not None:
            default = next(name for name, number in values.items() if number == default)
        return FieldKind(kind="enum", values=values, default=default, **common)
    if field.type in _INTEGERS:
        low, high = _INTEGERS[field.type]
        return FieldKind(kind="int", low=low, high=high, default=default, **common)
    return FieldKind(kind=_SCALARS[field.type], default=default, **common)


def _from_spec(name: str, spec: Spec) -> FieldKind:
    if spec.choices is not None:
        values = {choice: i for i, choice in enumerate(spec.choices)}
        return FieldKind(name, "enum", spec.repeated, values=values, quoted=True, default=spec.default)
    if issubclass(spec.kind, Params):
        return FieldKind(name, "message", spec.repeated, message=spec.kind)
    kind = {int: "int", float: "float", bool: "bool", str: "string"}[spec.kind]
    return FieldKind(name, kind, spec.repeated, default=spec.default)
