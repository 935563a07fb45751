"""Writes trees and definitions: prototxt in Caffe's order of fields, and binary messages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from layerforge.netdef.types import Fields, LayerDef, NetDef, SolverDef
from layerforge.schema.binary import message_of
from layerforge.schema.convert import layer_fields, net_fields, solver_fields
from layerforge.schema.kinds import MessageKind, message_kind

_ESCAPES = {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", ord('"'): '\\"', ord("\\"): "\\\\"}


def net_text(net: NetDef, width: int = 0) -> str:
    """The prototxt of a net; messages that fit into `width` columns stand on one line."""
    return tree_text(net_fields(net), "NetParameter", width)


def solver_text(solver: SolverDef, width: int = 0) -> str:
    """The prototxt of a solver; messages that fit into `width` columns stand on one line."""
    return tree_text(solver_fields(solver), "SolverParameter", width)


def net_bytes(net: NetDef) -> bytes:
    """The net as a serialized NetParameter, without weights."""
    data: bytes = message_of(net_fields(net), "NetParameter").SerializeToString()
    return data


def layer_bytes(layer: LayerDef) -> bytes:
    """The fields of a layer but its name and type, serialized: what stands beside the blobs in a .caffemodel."""
    fields = {name: field for name, field in layer_fields(layer).items() if name not in ("name", "type")}
    data: bytes = message_of(fields, "LayerParameter").SerializeToString()
    return data


def tree_text(fields: Fields, message: str, width: int = 0) -> str:
    """The text of a tree; fields in the order of their numbers, as Caffe prints them, those of plugins last.

    width  messages that fit into so many columns stand on one line: `param { lr_mult: 1 }`
    """
    return "".join(line + "\n" for line in _lines(fields, message_kind(message), "", width))


def _lines(fields: Fields, kind: MessageKind | None, indent: str, width: int) -> Iterator[str]:
    known = kind.fields if kind else {}
    last = 2**30
    for name in sorted(fields, key=lambda n: known[n].number if n in known else last):
        field = fields[name]
        is_enum = name in known and known[name].kind == "enum"  # choices of plugins may stand in quotes
        for each in field.value if isinstance(field.value, tuple) else (field,):
            if isinstance(each.value, Mapping):
                inner = message_kind(known[name].message) if name in known else None
                inside = list(_lines(each.value, inner, indent + "  ", width))
                one = " ".join([f"{indent}{name} {{", *(line.lstrip() for line in inside), "}"])
                yield from [one] if len(one) <= width else [f"{indent}{name} {{", *inside, f"{indent}}}"]
            else:
                yield f"{indent}{name}: {_scalar(each.value, is_enum)}"


def _scalar(value: Any, is_enum: bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _number(value)
    return quote(value) if isinstance(value, (str, bytes)) and not is_enum else str(value)


def _number(value: float) -> str:
    if math.isnan(value) or math.isinf(value):
        return str(value)
    return str(int(value)) if value == int(value) and abs(value) < 1e6 else repr(value)


def quote(text: str | bytes) -> str:
    """A text in double quotes, with escapes where they must be."""
    if isinstance(text, bytes):
        return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in text) + '"'
    escaped = text.translate(_ESCAPES)
    return '"' + "".join(c if ord(c) >= 32 and ord(c) != 127 else f"\\{ord(c):03o}" for c in escaped) + '"'
