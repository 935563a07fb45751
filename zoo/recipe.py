"""From a model's program to its files: every `build.py` has a function `texts` that gives file name → text."""

from __future__ import annotations

import importlib.util
import os
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from layerforge.netdef.types import Field, SolverDef
from layerforge.schema.write import solver_text
from layerforge.zoo.sketch import WIDTH, Sketch

ROOT = Path(__file__).resolve().parent


def solver(comment: str, **fields: Any) -> str:
    """The text of a solver that trains `train_val.prototxt` beside it; lists repeat, the comment is wrapped.

    It runs on the CPU; `--gpu` moves it.
    """
    net = {} if {"net", "train_net"} & set(fields) else {"net": "train_val.prototxt"}
    fields = net | fields | {"solver_mode": "CPU"}
    made = {name: _field(value) for name, value in fields.items()}
    head = {k: made.pop(k) for k in ("net", "train_net", "test_net") if k in made}  # numbers would put them last
    parts = (solver_text(SolverDef(each), WIDTH) for each in (head, made))
    return "".join([*(f"# {line}\n" for line in textwrap.wrap(comment, WIDTH - 2)), *parts])


def _field(value: Any) -> Field:
    if isinstance(value, Mapping):
        return Field({name: _field(each) for name, each in value.items()})
    return Field(tuple(map(_field, value)) if isinstance(value, (list, tuple)) else value)


def nets(name: str, body: Callable[[Sketch], object], **sketch: Any) -> dict[str, str]:
    """The two nets that a body describes: with data and loss, and to apply."""
    made = {}
    for file, training in (("train_val.prototxt", True), ("deploy.prototxt", False)):
        n = Sketch(name, training, **sketch)
        body(n)
        made[file] = n.text()
    return made


def imagenet_solver(comment: str, prefix: str, **fields: Any) -> str:
    """A solver with what all schedules on ImageNet share: 50,000 test pictures in batches of 50, SGD with momentum."""
    common = {"test_iter": [1000], "test_interval": 5000, "test_initialization": False, "display": 20,
              "average_loss": 20, "momentum": 0.9, "snapshot": 10000, "snapshot_prefix": prefix}
    return solver(comment, **common | fields)


def program(folder: Path) -> Any:
    """The module of a model's build.py."""
    spec = importlib.util.spec_from_file_location(f"layerforge.zoo.{folder.name}.build", folder / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts(folder: Path) -> Mapping[str, str]:
    """File name → text, as the model's program writes them."""
    made: Mapping[str, str] = program(folder).texts()
    return made


def write(folder: Path) -> list[str]:
    """Writes a model's files; returns the names of those that changed."""
    changed = []
    for name, text in texts(folder).items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(os.path.join(folder.name, name))
    return changed
