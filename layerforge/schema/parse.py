"""Text → one tree of (name, value, Where), checked against the schema and the Params of plugins.

The grammar is protobuf's text format: `name: value`, `name { … }` or `name < … >`, lists `[a, b]`, comments, several
quoted texts in a row, `;` or `,` between fields. Protobuf's own parser keeps no places, this one one for every value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from layerforge.core.errors import PrototxtError, did_you_mean
from layerforge.core.extensions import load_extensions
from layerforge.netdef.params import Params
from layerforge.netdef.types import Field, Fields, Where
from layerforge.schema.kinds import FieldKind, MessageKind, declared, message_kind
from layerforge.schema.tokens import Text, Token, unquote

MAX_BYTES = 32 * 2**20  # Caffe's longest nets have 1 MiB of text
MAX_DEPTH = 64

LAYERS = ("LayerParameter", "V1LayerParameter", "V0LayerParameter")
_BOOLS = {"true": True, "t": True, "True": True, "1": True, "false": False, "f": False, "False": False, "0": False}
_TITLES = {"NetParameter": "a net", "SolverParameter": "a solver", "LayerParameter": "a layer",
           "V1LayerParameter": "a layer of the old format", "V0LayerParameter": "a layer of the first format"}


def parse(text: str, file: str, message: str, extra: Mapping[str, type[Params]] | None = None) -> Fields:
    """The tree of a text.

    message  what the text holds: "NetParameter", "SolverParameter", ...
    extra    message fields of layers, beside those of the schema and of registered layers: {"my_layer_param": MyParams}

    Raises PrototxtError with the place of whatever cannot be read.
    """
    if len(text) > MAX_BYTES:
        hint = "weights belong into a .caffemodel"
        raise PrototxtError(f"{file} has more than {MAX_BYTES >> 20} MiB of text", hint=hint)
    return _Parser(Text(text, file), {**declared(), **(extra or {})}).whole(message_kind(message))


class _Parser:
    """Recursive descent with one token ahead. `frames` are the messages that are open, outermost first."""

    def __init__(self, text: Text, extra: Mapping[str, type[Params]]) -> None:
        self.text, self.extra = text, extra
        self.tokens: Iterator[Token] = text.tokens()
        self.token = next(self.tokens)
        self.frames: list[tuple[MessageKind, dict[str, Field]]] = []

    # --- tokens

    def advance(self) -> Token:
        before, self.token = self.token, next(self.tokens)
        return before

    def at(self, *marks: str) -> bool:
        return self.token.kind == "mark" and self.token.text in marks

    def accept(self, *marks: str) -> bool:
        if self.at(*marks):
            self.advance()
            return True
        return False

    def fail(self, message: str, where: Where | None = None, hint: str | None = None) -> NoReturn:
        raise PrototxtError(f"{self.owner()}{message}", where=where or self.text.where(self.token.start), hint=hint)

    def owner(self) -> str:
        """ "layer 'conv1' (Convolution): ", as far as it is known by now."""
        for kind, fields in reversed(self.frames):
            if kind.name in LAYERS and ("name" in fields or "type" in fields):
                name = f" {fields['name'].value!r}" if "name" in fields else ""
                layer_type = f" ({fields['type'].value})" if "type" in fields else ""
                return f"layer{name}{layer_type}: "
        return ""

    # --- messages

    def whole(self, kind: MessageKind) -> Fields:
        return self.fields(kind, "", None)

    def fields(self, kind: MessageKind, closer: str, opened: Where | None, name: str = "") -> dict[str, Field]:
        """The fields up to the closing mark, or to the end of the text."""
        fields: dict[str, Field] = {}
        if len(self.frames) >= MAX_DEPTH:
            self.fail(f"more than {MAX_DEPTH} messages within one another")
        self.frames.append((kind, fields))
        repeated: dict[str, list[Field]] = {}
        while not (closer and self.accept(closer)):
            if self.token.kind == "end":
                if not closer:
                    break
                self.fail(f"{name} that starts here is not closed", opened, hint=f"a {closer!r} is missing")
            self.field(kind, fields, repeated)
        for each, values in repeated.items():
            fields[each] = Field(tuple(values), values[0].where)
        self.frames.pop()
        return fields

    def field(self, kind: MessageKind, fields: dict[str, Field], repeated: dict[str, list[Field]]) -> None:
        where = self.text.where(self.token.start)
        if self.token.kind != "name":
            self.fail(f"the name of a field is expected, not {self.token.text}")
        name = self.advance().text
        field = self.known(kind, name, where)
        if not field.repeated and name in fields:
            hint = f"the first is in line {_line(fields[name])}"
            self.fail(f"{name} is given twice, it holds one value", where, hint)
        if not self.accept(":") and field.kind != "message":
            self.fail(f"a ':' is expected after {name}, not {self.token.text}")
        for value in self.values(field, where):
            if field.repeated:
                repeated.setdefault(name, []).append(value)
                fields.setdefault(name, value)  # its place in the order; the tuple follows at the end
            else:
                fields[name] = value
        self.accept(";", ",")

    def known(self, kind: MessageKind, name: str, where: Where) -> FieldKind:
        field = kind.fields.get(name)
        if field is not None:
            return field
        if kind.name == "LayerParameter":
            if name not in self.extra:
                load_extensions()
                self.extra = {**declared(), **self.extra}
            if name in self.extra:
                return FieldKind(name, "message", message=self.extra[name])
        title = _TITLES.get(kind.name) or self.message_name(kind)
        names = [*kind.fields, *(self.extra if kind.name == "LayerParameter" else ())]
        self.fail(f"{title} has no field {name!r}", where, _other_file(kind.name, name) or did_you_mean(name, names))

    def message_name(self, kind: MessageKind) -> str:
        """The name the open message has in its parent: convolution_param."""
        for parent, _ in self.frames[-2:-1]:
            for name, field in parent.fields.items():
                if field.kind == "message" and field.message == kind.name:
                    return name
        return kind.name

    # --- values

    def values(self, field: FieldKind, where: Where) -> Iterator[Field]:
        if not self.at("["):
            yield self.value(field, where)
            return
        if not field.repeated:
            self.fail(f"{field.name} holds one value, not a list")
        self.advance()
        while not self.accept("]"):
            yield self.value(field, self.text.where(self.token.start))
            if not self.accept(",") and not self.at("]"):
                self.fail(f"the list of {field.name} that starts here is not closed", where, hint="a ']' is missing")

    def value(self, field: FieldKind, where: Where) -> Field:
        if field.kind != "message":
            return Field(self.scalar(field), where)
        if not self.at("{", "<"):
            self.fail(f"{field.name} is a message: '{{' is expected, not {self.token.text}")
        closer = "}" if self.advance().text == "{" else ">"
        return Field(self.fields(message_kind(field.message), closer, where, field.name), where)

    def scalar(self, field: FieldKind) -> Any:
        if field.kind in ("string", "bytes"):
            return self.string(field)
        if field.kind == "enum" and field.quoted and self.token.kind == "string":
            return self.enum(field, str(self.string(field)))
        start = self.token
        minus = self.accept("-")
        if self.token.kind not in ("name", "number"):
            self.refuse(field, self.token.text)
        text = self.advance().text
        if field.kind == "bool" and not minus and text in _BOOLS:
            return _BOOLS[text]
        if field.kind == "enum":
            return self.enum(field, "-" + text if minus else text, start)
        size = _integer(text) if field.kind == "int" else _float(text) if field.kind == "float" else None
        if size is None:
            self.refuse(field, "-" + text if minus else text, start)
        value = -size if minus else size
        if field.kind == "int" and not field.low <= value <= field.high:
            self.refuse(field, str(value), start)
        return value

    def enum(self, field: FieldKind, text: str, start: Token | None = None) -> str:
        values = field.values or {}
        if text in values:
            return text
        number = _integer(text.removeprefix("-"))
        if number is not None and not field.quoted:
            number = -number if text[0] == "-" else number
            for name, known in values.items():
                if known == number:
                    return name
        self.refuse(field, text, start, did_you_mean(text, values))

    def string(self, field: FieldKind) -> str | bytes:
        parts = []
        if self.token.kind != "string":
            self.refuse(field, self.token.text)
        start = self.token
        while self.token.kind == "string":
            try:
                parts.append(unquote(self.token.text))
            except ValueError as error:
                self.fail(f"{field.name}: {error}")
            self.advance()
        value = b"".join(parts)
        if field.kind == "bytes":
            return value
        try:
            return value.decode()
        except UnicodeDecodeError:
            self.fail(f"{field.name}: the text is not UTF-8", self.text.where(start.start))

    def refuse(self, field: FieldKind, got: str, token: Token | None = None, hint: str | None = None) -> NoReturn:
        where = self.text.where((token or self.token).start)
        self.fail(f"{field.name}: {got}, must be {_wanted(field)}", where, hint)


def _wanted(field: FieldKind) -> str:
    if field.kind == "int":
        if field.high == 2**31 - 1 or field.low < -(2**31):
            return "a whole number"
        return "a whole number, at least 0" if field.low == 0 else f"a whole number, {field.low} to {field.high}"
    return {"float": "a number", "bool": "true or false", "string": "a text in quotes", "bytes": "a text in quotes",
            "enum": f"one of {', '.join(field.values or ())}", "message": "a message"}[field.kind]


def _line(field: Field) -> str:
    return str(field.where.line) if field.where else "?"


def _integer(text: str) -> int | None:
    """Decimal, 0x hexadecimal or 0 octal."""
    try:
        if text[:2] in ("0x", "0X"):
            return int(text, 16)
        if len(text) > 64:  # Python refuses to convert very long ones
            return None
        return int(text, 8 if text[0] == "0" and len(text) > 1 else 10)
    except ValueError:
        return None


def _float(text: str) -> float | None:
    if text.lower() in ("inf", "infinity", "inff", "infinityf"):
        return math.inf
    if text.lower() in ("nan", "nanf"):
        return math.nan
    if text[:2] in ("0x", "0X"):
        return None
    try:
        return float(text.rstrip("fF")) if text[0].isdigit() or text[0] == "." else None
    except ValueError:
        return None


def _other_file(message: str, name: str) -> str | None:
    """A hint when a solver was given for a net, or the reverse."""
    other = {"NetParameter": "SolverParameter", "SolverParameter": "NetParameter"}.get(message)
    if other and name in message_kind(other).fields:
        return f"this is a field of {_TITLES[other]}: is it the wrong file?"
    return None


def read_text(path: str) -> str:
    """The text of a file.

    Raises PrototxtError when it is missing, too long, or no text.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PrototxtError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise PrototxtError(f"{path} has more than {MAX_BYTES >> 20} MiB of text", hint="is this a file of weights?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        hint = "it looks like a binary file: weights are given apart from the net" if b"\0" in data[:4096] else None
        raise PrototxtError("the text is not UTF-8", where=Where(path, line), hint=hint) from None


