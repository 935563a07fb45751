"""One class per layer type, found by the folder it stands in; no twins for devices."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import layerforge.layers as folder
from layerforge.core.errors import NetError
from layerforge.layers.base import Layer
from layerforge.layers.registry import built_in, register

FILES = sorted(Path(folder.__path__[0]).glob("*.py"))


def claims(path: Path) -> list[str]:
    """The types that the classes of a file name, read from its text."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ClassDef):
            continue
        for statement in node.body:
            if isinstance(statement, ast.Assign):
                target, value = statement.targets[0], statement.value
                pairs = zip(target.elts, value.elts) if isinstance(target, ast.Tuple) else [(target, value)]
                found += [v.value for t, v in pairs if t.id == "type" and isinstance(v, ast.Constant) and v.value]
    return found


def test_no_type_is_claimed_twice() -> None:
    every = [name for path in FILES for name in claims(path)]
    assert sorted(every) == sorted(set(every))


def test_the_registry_finds_every_class_of_the_folder() -> None:
    assert {name for path in FILES for name in claims(path)} == {layer.type for layer in built_in().values()}


def test_no_layer_knows_a_device() -> None:
    for path in FILES:
        source = path.read_text()
        assert "cupy" not in source and "cuda" not in source.lower().replace("cuda graph", ""), path.name


@pytest.mark.parametrize("name", sorted(built_in()))
def test_the_class_says_what_it_is(name: str) -> None:
    layer = built_in()[name]
    assert layer.__doc__ and inspect.getdoc(layer) != inspect.getdoc(Layer), "a docstring with the formula is needed"
    message = layer.Params.message
    assert message is None or message.endswith("_param")
    for field, spec in layer.Params.specs().items():
        assert spec.doc, f"{field} has no doc"


def test_a_plugin_cannot_take_a_known_type() -> None:
    with pytest.raises(NetError, match="'ReLU', which is taken"):
        register(type("Mine", (Layer,), {"type": "ReLU"}))
