"""Protobuf messages and their bytes ↔ the tree. Weights are left out: layerforge/schema/weights.py reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from layerforge.core.errors import DataError
from layerforge.netdef.types import Field, Fields
from layerforge.schema.kinds import message_kind
from layerforge.schema.messages import is_repeated, message_class

_LAYERS = ("LayerParameter", "V1LayerParameter", "V0LayerParameter")


def parse_binary(data: bytes, message: str, file: str) -> Fields:
    """The tree of serialized bytes, without places and without blobs.

    Raises DataError when the bytes are no such message.
    """
    try:
        return fields_of(message_class(message).FromString(data))
    except (DecodeError, ValueError) as error:
        hint = "is the file whole, and of this kind?"
        raise DataError(f"{file} is no binary {message}: {error}", hint=hint) from None


def fields_of(message: Any) -> dict[str, Field]:
    """The tree of a protobuf message: what is set, enums by name. Unknown fields and blobs are left out."""
    made: dict[str, Field] = {}
    is_layer = message.DESCRIPTOR.name in _LAYERS
    for field, value in message.ListFields():
        if is_layer and field.name == "blobs":
            continue
        repeated = is_repeated(field)
        made[field.name] = Field(tuple(Field(_plain(field, v)) for v in value) if repeated else _plain(field, value))
    return made


def _plain(field: Any, value: Any) -> Any:
    if field.type == field.TYPE_MESSAGE:
        return fields_of(value)
    if field.type == field.TYPE_ENUM:
        return field.enum_type.values_by_number[value].name
    if field.type == field.TYPE_FLOAT:
        return float(str(np.float32(value)))  # 0.1, where 0.1 was written
    return value


def message_of(fields: Fields, message: str) -> Any:
    """The protobuf message of a tree. Fields of plugins have no numbers: they are left out."""
    made = message_class(message)()
    _fill(made, fields, message)
    return made


def _fill(target: Any, fields: Fields, message: str) -> None:
    known = message_kind(message).fields
    for name, field in fields.items():
        kind = known.get(name)
        if kind is None:
            continue
        for each in field.value if kind.repeated else (field,):
            if isinstance(each.value, Mapping):
                child = getattr(target, name).add() if kind.repeated else getattr(target, name)
                child.SetInParent()
                _fill(child, each.value, str(kind.message))
            else:
                value = (kind.values or {})[each.value] if kind.kind == "enum" else each.value
                getattr(target, name).append(value) if kind.repeated else setattr(target, name, value)
