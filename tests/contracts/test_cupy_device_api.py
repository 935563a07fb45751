"""What the backend asks of the module cupy, its streams, events and graphs exists in CuPy 14, with those arguments.

cupy_device_api.txt lists it; where cupy is installed, the list is compared with it, device or not. The stand-in for
streams takes no argument that CuPy does not take.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import streams

import layerforge.backends.cupy
import layerforge.engines.cudnn

FILES = sorted(path for package in (layerforge.backends.cupy, layerforge.engines.cudnn)
               for path in Path(package.__path__[0]).glob("*.py"))
LISTED = dict(
    re.fullmatch(r"([\w.]+)\((.*)\)", line).groups()  # type: ignore[union-attr]
    for line in Path(__file__).with_name("cupy_device_api.txt").read_text().splitlines()
)
API = {name: [word for word in arguments.split(", ") if word] for name, arguments in LISTED.items()}
ERRORS = ("cuda.runtime.CUDARuntimeError", "cuda.memory.OutOfMemoryError", "cuda.compiler.CompileException")
MODULES = ("cuda", "cuda.runtime", "cuda.memory", "cuda.compiler")
KINDS = {
    "cuda.Stream": ("stream", "_stream", "_copies", "_main"),
    "cuda.Event": ("_sent", "_arrived", "_done", "event", "there", "end", "begin"),
    "cuda.Graph": ("graph",),
    "ndarray": ("target", "source", "places"),
}
"""How things of each class are called in the backend: who names one otherwise adds the name."""


def last_name(node: ast.AST) -> str:
    """`self._arrived[turn]` → "_arrived"; `lane.places[turn][:n]` → "places"."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return str(getattr(node, "attr", getattr(node, "id", "")))


def dotted(node: ast.AST) -> str:
    """`self._cupy.cuda.Event` → "cuda.Event", "" for what does not begin with the module."""
    if isinstance(node, ast.Attribute):
        root = last_name(node.value) in ("cupy", "_cupy") or (last_name(node.value) == "xp" and node.attr == "cuda")
        before = dotted(node.value)
        return node.attr if root else f"{before}.{node.attr}" if before else ""
    return ""


def asked(path: Path) -> Iterator[tuple[str, str, list[str], int]]:
    """(place, what is called, named arguments, how many others) of every use of the module and of what it makes."""
    tree = ast.parse(path.read_text("utf-8"))
    calls = {id(call.func): call for call in ast.walk(tree) if isinstance(call, ast.Call)}
    inside = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        call = calls.get(id(node))
        name = dotted(node) if id(node) not in inside else ""
        if not name and call is not None:
            known = KINDS.items() if path.parent.name == "cupy" else list(KINDS.items())[:2]  # cuDNN has graphs too
            kind = next((kind for kind, names in known if last_name(node.value) in names), "")
            name = f"{kind}.{node.attr}" if kind and (kind != "ndarray" or node.attr in ("get", "set")) else ""
        if name:
            named = [k.arg for k in call.keywords if k.arg] if call else []
            yield f"{path.name}:{node.lineno}", name, named, len(call.args) if call else 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_backend_asks_for_what_cupy_has(path: Path) -> None:
    for place, name, named, others in asked(path):
        if name in (*ERRORS, *MODULES):
            continue
        assert name in API, f"{place}: {name} is not listed in cupy_device_api.txt"
        assert set(named) <= set(API[name]) and others + len(named) <= len(API[name]), f"{place}: arguments of {name}"


def test_scan_finds_what_recordings_and_feeds_use() -> None:
    found = {name for path in FILES for _, name, _, _ in asked(path)}
    methods = {"begin_capture", "end_capture", "record", "wait_event"}
    assert {f"cuda.Stream.{method}" for method in methods} <= found
    assert {"cuda.Event", "cuda.Event.synchronize", "cuda.Graph.launch", "ndarray.set", "cuda.Stream", "empty"} <= found


def parameters(have: object) -> list[str]:
    """The names of the arguments: by the signature, or for compiled functions by the first line of the docstring."""
    try:
        found = list(inspect.signature(have).parameters)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        line = (have.__doc__ or "").strip().split("\n")[0]
        inner = line[line.index("(") + 1 : line.rindex(")")]
        found = [word.split("=")[0].strip().split(" ")[-1] for word in inner.split(",")]
    return [name for name in found if name not in ("self", "*", "")]


@pytest.mark.parametrize("name", API)
def test_the_list_says_what_cupy_has(name: str) -> None:
    cupy = pytest.importorskip("cupy", reason="cupy is not installed: its list cannot be compared with it")
    have = cupy
    for part in name.split("."):
        have = getattr(have, part)
    if "runtime." in name:
        assert callable(have)  # compiled without the names of arguments
    else:
        assert parameters(have) == API[name]


@pytest.mark.parametrize("name", ERRORS)
def test_errors_that_are_caught_exist(name: str) -> None:
    cupy = pytest.importorskip("cupy", reason="cupy is not installed: its list cannot be compared with it")
    for part in name.split("."):
        cupy = getattr(cupy, part)
    assert issubclass(cupy, Exception)


STREAMS = [name for name in API if name.startswith(("cuda.Stream", "cuda.Event", "cuda.Graph."))]


@pytest.mark.parametrize("name", STREAMS)
def test_the_stand_in_takes_no_more_than_cupy(name: str) -> None:
    kind, _, method = name.removeprefix("cuda.").partition(".")
    have = getattr(streams, kind)
    if method and not hasattr(have, method):
        return  # nothing that is tested asks for it
    mine = [each for each in parameters(getattr(have, method) if method else have) if each != "device"]
    assert set(mine) <= set(API[name])
