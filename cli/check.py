"""`layerforge check`: examines the layers in a file of the user's."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

from layerforge.cli.flags import Command, Flag, UsageError
from layerforge.core.errors import DataError, did_you_mean


def run(args: SimpleNamespace) -> int:
    """Prints a verdict for every layer; the exit code is 1 if one of them failed.

    Raises DataError when the file is missing or has no layers.
    """
    from layerforge.layers.python_layer import Python
    from layerforge.solver.plugins import load_plugins
    from layerforge.testing.examine import examine, layers_of

    (module,) = load_plugins([args.file])
    found = {name: (layer, case) for name, layer, case in layers_of(module)}
    if not found:
        raise DataError(f"{args.file} has no layers", hint="a layer is a class with a type, or with Caffe's four verbs")
    if args.layer and args.layer not in found:
        raise DataError(f"{args.file} has no layer {args.layer!r}",
                        hint=did_you_mean(args.layer, found) or f"it has {', '.join(found)}")
    failed = False
    for name, (layer, case) in found.items():
        if args.layer in ("", name):
            own = {"param_str": args.param_str} if layer is Python else _params(args.params)
            verdict = examine(name, layer, {**case, **own}, _shapes(args.shapes))
            print(verdict)
            failed = failed or bool(verdict.problems)
    return int(failed)


def _shapes(text: str) -> list[tuple[int, ...]]:
    """2x3x4,2 → [(2, 3, 4), (2,)]"""
    try:
        shapes = [tuple(int(n) for n in part.split("x")) for part in text.split(",") if part]
    except ValueError:
        shapes = [(0,)]
    if not all(math.prod(shape) > 0 and min(shape) > 0 for shape in shapes):
        raise UsageError(f"--shapes takes shapes as 2x3x4,2; got {text!r}")
    return shapes


def _params(text: str) -> dict[str, Any]:
    """beta=0.5,mode=HARD → {"beta": 0.5, "mode": "HARD"}"""
    pairs = [part.partition("=") for part in text.split(",") if part]
    if not all(equals for _, equals, _ in pairs):
        raise UsageError(f"--params takes names and values as beta=0.5,axis=1; got {text!r}")
    return {name.strip(): _value(value.strip()) for name, _, value in pairs}


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


command = Command(
    "check", "examines the layers in a Python file: gradients, shapes, batches", run, (
        Flag("layer", str, "", "only this layer of the file", "NAME"),
        Flag("shapes", str, "", "the shapes of the bottoms, 2x3x4,2; without it some are tried", "SHAPES"),
        Flag("params", str, "", "parameters of the layers, beta=0.5,axis=1", "VALUES"),
        Flag("param_str", str, "", "param_str of layers of the type Python", "TEXT"),
    ), arguments=("FILE",),
    examples=(("layerforge check my_layers.py", "a verdict for each layer in the file"),
              ("layerforge check my_layers.py --layer Swish2 --params beta=0.5 --shapes 2x3", "one layer, as said")),
)
