"""Every field of every layer's parameters refuses bad values: one error that names place, layer and field."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from layerforge.core.errors import PrototxtError
from layerforge.layers.base import Layer
from layerforge.layers.registry import built_in
from layerforge.netdef.params import Params, Spec
from layerforge.schema.kinds import message_kind
from layerforge.schema.read import parse_net

Path = tuple[str, ...]  # messages from the layer's own one inwards
LAYERS = sorted(set(built_in().values()), key=lambda layer: layer.type)


def fields(params: type[Params], path: Path) -> Iterator[tuple[Path, str, Spec]]:
    """Every field, those of nested messages too, with the messages it stands in."""
    for name, spec in params.specs().items():
        if spec.beside:
            yield from fields(spec.kind, (spec.kind.message,))
            continue
        yield path, name, spec
        if issubclass(spec.kind, Params):
            yield from fields(spec.kind, (*path, name))


def good(spec: Spec) -> str:
    """A value the field takes, as text."""
    if issubclass(spec.kind, Params):
        return "{ " + " ".join(f"{n}: {good(s)}" for n, s in spec.kind.specs().items() if s.required) + " }"
    if spec.choices:
        return spec.choices[0]
    if spec.kind is bool:
        return "true"
    if spec.kind is str:
        return '"text"'
    low = spec.at_least if spec.at_least is not None else spec.above + 1 if spec.above is not None else None
    high = spec.at_most if spec.at_most is not None else spec.below - 1 if spec.below is not None else None
    value = low if low is not None else high if high is not None else 1
    return str(spec.kind(value))


def written(path: Path, name: str, spec: Spec) -> str:
    """A value the field takes; choices that the schema holds as texts are quoted."""
    kind = message_kind("LayerParameter").fields[path[0]]
    for inner in (*path[1:], name):
        kind = message_kind(kind.message).fields[inner]
    return f'"{good(spec)}"' if spec.choices and kind.kind == "string" else good(spec)


def bad(spec: Spec) -> Iterator[str]:
    """Values the field must refuse, as text."""
    if issubclass(spec.kind, Params):
        yield from ("5", "{ no_such_field: 1 }")
        return
    yield {bool: "2", str: "7"}.get(spec.kind, '"text"')
    yield "{ }"
    if spec.choices:
        yield "NO_SUCH_CHOICE"
    elif spec.kind is int:
        yield from ("1.5", "true", "99999999999999999999")
    elif spec.kind is float:
        yield "nan"
    if spec.kind in (int, float):
        if spec.at_least is not None:
            yield str(spec.kind(spec.at_least - 1))
        if spec.at_most is not None:
            yield str(spec.kind(spec.at_most + 1))
        yield from (str(spec.kind(bound)) for bound in (spec.above, spec.below) if bound is not None)


def text(layer: type[Layer], path: Path, lines: list[str]) -> tuple[str, int]:
    """A net of this layer, required fields set, with `lines` inside the messages of `path`; and their place."""
    out = ["layer {", '  name: "wrong"', f'  type: "{layer.type}"']
    own = [(n, s) for n, s in layer.Params.specs().items() if s.required and not s.beside]
    given = {line.split(":")[0].split(" ")[0] for line in lines}
    required = [f"{n}: {good(s)}" if not issubclass(s.kind, Params) else f"{n} {good(s)}" for n, s in own]
    if path and path[0] == layer.Params.message:
        inside = [line for line, (name, _) in zip(required, own) if name not in given and name not in path]
        out += [f"{path[0]} {{", *inside, *(f"{name} {{" for name in path[1:])]
    else:
        if required:
            out += [f"{layer.Params.message} {{", *required, "}"]
        out += [f"{name} {{" for name in path]
    first = len(out) + 1
    return "\n".join([*out, *lines, *["}"] * len(path), "}"]), first


def refused(layer: type[Layer], path: Path, lines: list[str]) -> tuple[PrototxtError, int]:
    """The error of such a net, and the line that is wrong."""
    net, line = text(layer, path, lines)
    try:
        (definition,) = parse_net(net, "net.prototxt").layers
        layer.Params.from_layer(definition.params, str(definition), definition.where)
    except PrototxtError as error:
        return error, line + len(lines) - 1
    pytest.fail(f"accepted:\n{net}")


CASES = [(layer, *found) for layer in LAYERS for found in fields(layer.Params, (layer.Params.message,))]
IDS = [".".join((layer.type, *path[1:], name)) for layer, path, name, _ in CASES]


@pytest.mark.parametrize("layer, path, name, spec", CASES, ids=IDS)
def test_a_bad_value_is_refused_where_it_stands(layer: type[Layer], path: Path, name: str, spec: Spec) -> None:
    for value in bad(spec):
        error, line = refused(layer, path, [f"{name}: {value}"])
        message = str(error)
        assert message.startswith(f"net.prototxt:{line}: layer 'wrong' ({layer.type})"), message
        assert ("no_such_field" if "no_such_field" in value else name) in message.split("\n")[0], message


@pytest.mark.parametrize("layer, path, name, spec", [c for c in CASES if not c[3].repeated],
                         ids=[i for i, c in zip(IDS, CASES) if not c[3].repeated])
def test_a_field_given_twice_is_refused(layer: type[Layer], path: Path, name: str, spec: Spec) -> None:
    error, line = refused(layer, path, [f"{name}: {written(path, name, spec)}"] * 2)
    assert str(error).startswith(f"net.prototxt:{line}: layer 'wrong' ({layer.type})") and name in str(error)


@pytest.mark.parametrize("layer, path, name, spec", [c for c in CASES if c[3].required and len(c[1]) == 1],
                         ids=[i for i, c in zip(IDS, CASES) if c[3].required and len(c[1]) == 1])
def test_a_required_field_that_is_missing_is_named(layer: type[Layer], path: Path, name: str, spec: Spec) -> None:
    others = [f"{n}: {good(s)}" for n, s in layer.Params.specs().items() if s.required and n != name]
    net = f'layer {{ name: "wrong" type: "{layer.type}" {path[0]} {{ {" ".join(others)} }} }}'
    (definition,) = parse_net(net, "net.prototxt").layers
    with pytest.raises(PrototxtError, match=f"net.prototxt:1: layer 'wrong' .*: {name} is missing"):
        layer.Params.from_layer(definition.params, str(definition), definition.where)


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer.Params.message], ids=lambda layer: layer.type)
def test_an_unknown_field_is_refused(layer: type[Layer]) -> None:
    error, line = refused(layer, (layer.Params.message,), ["no_such_field: 1"])
    assert str(error).startswith(f"net.prototxt:{line}: layer 'wrong' ({layer.type})") and "no_such_field" in str(error)
