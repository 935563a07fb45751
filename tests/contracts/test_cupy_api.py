"""What layers ask of `xp` exists in CuPy. cupy_api.txt lists CuPy's functions and their named arguments."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import layerforge.layers
from layerforge.layers.registry import built_in

LAYERS = Path(layerforge.layers.__path__[0])
LISTED = dict(
    re.fullmatch(r"(\w+)\((.*)\)", line).groups()  # type: ignore[union-attr]
    for line in Path(__file__).with_name("cupy_api.txt").read_text().splitlines()
)
API = {name: frozenset(filter(None, keywords.split(", "))) for name, keywords in LISTED.items()}
TYPES = ("float32", "float64", "int32", "int64", "uint8", "uint32", "bool_", "newaxis", "pi", "inf", "nan")


def is_module(node: ast.AST) -> bool:
    """Whether this is `xp` or `something.xp`."""
    return getattr(node, "id", None) == "xp" or getattr(node, "attr", None) == "xp"


def uses(path: Path) -> Iterator[tuple[str, str, frozenset[str]]]:
    """(place, name, named arguments) of every use of the array module in a file."""
    tree = ast.parse(path.read_text("utf-8"))
    calls = {id(call.func): call for call in ast.walk(tree) if isinstance(call, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_module(node.value):
            call = calls.get(id(node))
            named = frozenset(k.arg for k in call.keywords if k.arg) if call else frozenset()
            yield f"{path.name}:{node.lineno}", node.attr, named


@pytest.mark.parametrize("path", sorted(LAYERS.glob("*.py")), ids=lambda path: path.stem)
def test_layers_use_what_cupy_has(path: Path) -> None:
    for place, name, named in uses(path):
        if name in TYPES:
            continue
        assert name in API, f"{place}: CuPy has no xp.{name}; write it with other functions, or as a kernel of ops"
        assert named <= API[name], f"{place}: CuPy's {name} takes no {', '.join(sorted(named - API[name]))}="


def test_the_scan_finds_uses() -> None:
    found = {name for path in LAYERS.glob("*.py") for _, name, _ in uses(path)}
    assert {"multiply", "copyto", "sum"} <= found


def test_functions_that_layers_name_are_there() -> None:
    """Layers whose class names a function: `function, wins = "maximum", "greater"`."""
    said = [getattr(layer, field, "") for layer in built_in().values() for field in ("function", "wins")]
    names = {name for name in said if isinstance(name, str) and name}
    assert names and names <= set(API), sorted(names - set(API))


def test_the_list_says_what_cupy_has() -> None:
    cupy = pytest.importorskip("cupy", reason="cupy is not installed: its list cannot be compared with it")
    for name, named in API.items():
        have = getattr(cupy, name)
        if isinstance(have, cupy.ufunc):
            assert named <= set(re.findall(r"(\w+)=", have.__doc__.split("\n")[0])), name
        else:
            assert named <= set(inspect.signature(have).parameters), name


@pytest.mark.parametrize("name", ["add", "sign", "exp", "tanh", "log1p", "rint", "trunc", "maximum", "power"])
def test_ufuncs_have_loops_for_both_floats(name: str) -> None:
    cupy = pytest.importorskip("cupy", reason="cupy is not installed: its functions cannot be asked")
    codes = [loop.split("->")[0] for loop in getattr(cupy, name).types]
    for code in "fd":
        assert code * getattr(np, name).nin in codes
