"""The reference page of a layer type, from its docstring and its parameters."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from layerforge.layers.base import Layer
from layerforge.layers.examples import prototxt
from layerforge.layers.registry import layer_types
from layerforge.netdef.params import Params, Spec

WIDTH = 100


def rows() -> list[tuple[str, str]]:
    """(type, formula) of every type, in alphabetical order."""
    return [(name, _formula(layer)) for name, layer in sorted(layer_types().items())]


def table() -> str:
    """All types, a line each."""
    first = max(len(name) for name, _ in rows()) + 2
    return "\n".join(f"{name:<{first}}{textwrap.shorten(formula, WIDTH - first, placeholder=' …')}"
                     for name, formula in rows())


def page(name: str) -> str:
    """The page of a type that exists: formula and shapes, parameters, an example."""
    layer = layer_types()[name]
    parts = [name, "=" * len(name), "", inspect.getdoc(layer) or ""]
    specs = layer.Params.specs()
    own = {field: spec for field, spec in specs.items() if not spec.beside}
    nested: dict[type[Params], list[str]] = {}
    if own:
        parts += _section(layer.Params.message or "", own, nested)
    for spec in specs.values():
        if spec.beside:
            parts += _section(spec.kind.message or "", spec.kind.specs(), nested)
    for kind, fields in nested.items():
        parts += _section(f"inside {', '.join(fields)}", kind.specs(), {})
    parts += ["", "Example", "-------", prototxt(layer)]
    return "\n".join(parts)


def _section(title: str, specs: dict[str, Spec], nested: dict[type[Params], list[str]]) -> Iterator[str]:
    """A heading and a line for each field; messages among them are noted in `nested`."""
    for name, spec in specs.items():
        if issubclass(spec.kind, Params) and not spec.beside:
            nested.setdefault(spec.kind, []).append(name)
    heading = f"Parameters ({title})" if title else "Parameters"
    yield from ("", heading, "-" * len(heading))
    yield _columns([(name, _kind(spec), _doc(spec)) for name, spec in specs.items()])


def _kind(spec: Spec) -> str:
    """Type, range and default: "int ≥ 1 = 1"."""
    name = "message" if issubclass(spec.kind, Params) else "choice" if spec.choices else spec.kind.__name__
    bounds = {"≥": spec.at_least, "≤": spec.at_most, ">": spec.above, "<": spec.below}
    words = [name + "*" * spec.repeated, *(f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None)]
    if spec.required:
        words.append("required")
    elif not spec.repeated and spec.default is not None and (default := _text(spec.default)):
        words.append(f"= {default}")
    return " ".join(words)


def _doc(spec: Spec) -> str:
    return f"{spec.doc} [{', '.join(map(str, spec.choices))}]" if spec.choices else spec.doc


def _text(value: Any) -> str:
    """A default as it stands in a prototxt; of a message what differs from its own defaults."""
    if isinstance(value, Params):
        pairs = ((name, getattr(value, name), spec.default) for name, spec in value.specs().items())
        given = [(name, own) for name, own, usual in pairs if own != usual]
        return "{ " + " ".join(f"{name}: {_text(v)}" for name, v in given) + " }" if given else ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else value or '""' if isinstance(value, str) else str(value)


def _formula(layer: type[Layer]) -> str:
    """The first line of the docstring, without shapes and remarks behind it."""
    return (inspect.getdoc(layer) or "").split("\n")[0].split("      ")[0]


def _columns(lines: list[tuple[str, str, str]]) -> str:
    """Three columns; the last one is wrapped."""
    first = max((len(line[0]) for line in lines), default=0) + 2
    second = max((len(line[1]) for line in lines), default=0) + 2
    out = []
    for name, middle, last in lines:
        head = f"{name:<{first}}{middle:<{second}}"
        out.append(textwrap.fill(last, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)))
    return "\n".join(out)
