"""The import table: rooms import downwards only. Late imports and those for type checking count too."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Each room with the rooms right below it; what those may import, it may import too.
BELOW: dict[str, tuple[str, ...]] = {
    "core": (),
    "netdef": ("core",),
    "schema": ("netdef",),
    "data": ("schema",),
    "backends": ("core",),
    "layers": ("data", "backends"),
    "engines": ("layers",),
    "graph": ("engines",),
    "io": ("graph",),
    "pictures": ("graph",),
    "net": ("io", "pictures"),
    "testing": ("net",),
    "solver": ("net",),
    "parallel": ("testing", "solver"),
    "report": ("testing", "solver"),
    "pycaffe": ("testing", "solver"),
    "zoo": ("parallel", "report", "pycaffe"),
    "cli": ("zoo",),
}
FACADE_USERS = {"cli", "zoo"}
# The lazy facade, `python -m layerforge`, and what plugins import.
TOP_MODULES = {"__init__": {"pycaffe"}, "__main__": {"cli"}, "plugin": {"solver", "layers", "netdef", "data"}}
HEAVY = ("cupy", "cv2", "lmdb", "h5py", "rich", "matplotlib", "PIL", "onnx", "torch",
         "pygraphviz", "resvg_py", "safetensors")


def allowed(room: str) -> set[str]:
    """The rooms that this room may import, itself among them."""
    rooms = {room}
    for below in BELOW[room]:
        rooms |= allowed(below)
    return rooms


def source_files() -> Iterator[tuple[str, Path]]:
    """(room, file) of everything that is installed; room "" for the modules on top."""
    for folder, room in ((ROOT / "cli", "cli"), (ROOT / "zoo", "zoo")):
        for path in sorted(folder.rglob("*.py")):
            yield room, path
    for path in sorted((ROOT / "layerforge").rglob("*.py")):
        parts = path.relative_to(ROOT / "layerforge").parts
        yield (parts[0] if len(parts) > 1 else ""), path


def module_name(path: Path) -> str:
    """The name the file is imported under."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "layerforge" else ("layerforge", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, full name) of every import in the file; `from a import b` gives "a.b"."""
    package = module_name(path).split(".")
    if path.stem != "__init__":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """(line, room) of every import of this project; a name taken from `layerforge` itself comes from the facade."""
    for line, name in imports(path):
        if name == "layerforge":
            yield line, "pycaffe"
        elif name.startswith("layerforge.") and name != "layerforge.__version__":
            room = name.split(".")[1]
            yield line, room if room in BELOW else "pycaffe"


def test_every_room_is_in_the_table():
    rooms = {room for room, _ in source_files() if room}
    assert rooms <= set(BELOW), f"rooms without a place in the table: {sorted(rooms - set(BELOW))}"


def test_rooms_import_downwards_only():
    wrong = []
    for room, path in source_files():
        may = allowed(room) if room else TOP_MODULES.get(path.stem, set())
        wrong += [f"{path.relative_to(ROOT)}:{line}: {room or path.stem} imports {other}"
                  for line, other in imported_rooms(path) if other not in may]
    assert not wrong, "\n".join(wrong)


def test_no_room_imports_the_facade():
    wrong = [f"{path.relative_to(ROOT)}:{line}" for room, path in source_files()
             if room and room not in FACADE_USERS | {"pycaffe"}
             for line, other in imported_rooms(path) if other == "pycaffe"]
    assert not wrong, wrong


def test_layers_import_contracts_of_backends_never_a_backend():
    wrong = [f"{path.relative_to(ROOT)}:{line}: {name}" for room, path in source_files() if room == "layers"
             for line, name in imports(path)
             if name.startswith("layerforge.backends") and not name.startswith("layerforge.backends.ops")]
    assert not wrong, wrong


def test_layers_never_name_cupy():
    wrong = [f"{path.relative_to(ROOT)}:{line}" for room, path in source_files() if room == "layers"
             for line, name in imports(path) if name.split(".")[0] == "cupy"]
    assert not wrong, wrong


def test_product_never_imports_its_tests():
    wrong = [f"{path.relative_to(ROOT)}:{line}: {name}" for _, path in source_files() for line, name in imports(path)
             if name.split(".")[0] in ("tests", "pytest", "cli", "zoo", "proto")]
    assert not wrong, wrong


def test_the_table_has_no_circle():
    for room, below in BELOW.items():  # a circle would not end
        assert all(room not in allowed(other) for other in below)


@pytest.mark.parametrize("statement", [
    "import layerforge.solver.loop", "from layerforge.net import build", "from ..net import build",
    "def f():\n    from layerforge import Net"])
def test_upward_imports_are_seen(statement, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "layerforge" / "core" / "bad.py"
    path.parent.mkdir(parents=True)
    path.write_text(statement)
    assert {room for _, room in imported_rooms(path)} - allowed("core")


def _fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_takes_less_than_a_third_of_a_second():
    code = "import time; t = time.perf_counter(); import layerforge; print(time.perf_counter() - t)"
    seconds = []
    while len(seconds) < 6:  # the fastest of some tries: a busy machine is no fault of ours
        seconds.append(float(_fresh(code)))
        if seconds[-1] < 0.3:
            return
    pytest.fail(f"import layerforge took {min(seconds):.2f} s at best")


@pytest.mark.parametrize("module", ["layerforge", "layerforge.layers.registry", "layerforge.cli.main"])
def test_import_loads_no_heavy_library(module):
    loaded = _fresh(f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])")
    assert not loaded, f"import {module} loads {loaded}"
