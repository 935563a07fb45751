"""`layerforge zoo`: the models that come with the project: lists, shows, copies and checks them."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from layerforge.cli.flags import Command, Flag, UsageError
from layerforge.cli.report import Table, listing
from layerforge.core.errors import DataError, LayerForgeError, did_you_mean

ACTIONS = ("list", "show", "get", "check")
FILES = {"deploy.prototxt": "to apply", "train_val.prototxt": "to train and test", "solver.prototxt": "the schedule",
         "build.py": "the program that writes them"}


def run(args: SimpleNamespace) -> int:
    """Does what the first argument says; without one the models are listed."""
    action = args.action or "list"
    if action not in ACTIONS:
        raise UsageError(f"zoo cannot {action!r}", hint=did_you_mean(action, ACTIONS) or f"it can {', '.join(ACTIONS)}")
    if action in ("show", "get") and not args.name:
        raise UsageError(f"zoo {action} needs the name of a model", hint="`layerforge zoo` lists the models")
    return {"list": _list, "show": _show, "get": _get, "check": _check}[action](args)


# --- list


def _list(args: SimpleNamespace) -> int:
    from layerforge.zoo.catalogue import models

    print(table(models()))
    return 0


def table(models: Mapping[str, Any]) -> Table:
    """A row per model."""
    columns = ("name", "what", "year", "parameters", "MACs", "top-1 %", "top-5 %")
    body = [(name, model.facts["summary"], str(model.facts["year"]), f"{model.facts['parameters']:,}",
             count(model.facts["macs"]), *accuracy(model.facts)) for name, model in models.items()]
    return Table(f"{len(models)} models; `layerforge zoo show NAME` tells more", columns, body)


def count(value: int) -> str:
    """A count in thousands, millions or milliards: 724.4 M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:,.2f} {unit}"
    return str(value)


def accuracy(facts: Mapping[str, Any]) -> tuple[str, str]:
    """Published top-1 and top-5, or dashes."""
    known = facts["accuracy"] if isinstance(facts["accuracy"], dict) else {}
    return str(known.get("top1", "-")), str(known.get("top5", "-"))


# --- show


def _show(args: SimpleNamespace) -> int:
    from layerforge.cli.inspect import summary
    from layerforge.zoo.catalogue import DEPLOY, model
    from layerforge.zoo.check import built

    shown = model(args.name)
    print(f"{shown.facts['name']}: {shown.facts['summary']}\n")
    print(listing(facts(shown.facts)))
    print(f"\n{listing((str(path), FILES.get(path.name, '')) for path in shown.files())}\n")
    net = built(shown, DEPLOY)
    with contextlib.closing(net):
        print(summary(net))
        if args.place:
            draw(net, args.place)
    return 0


def facts(known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The front matter in words, without what only the checks need."""
    for key in ("paper", "license", "weights", "input", "parameters", "parameters_in_training", "macs", "accuracy"):
        if key in known:
            yield key.replace("_", " ").replace("macs", "MACs"), said(known[key])


def said(value: Any) -> str:
    """A fact on one line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {said(each)}" for name, each in value.items())
    if isinstance(value, list):
        return " × ".join(map(str, value)) if all(isinstance(n, int) for n in value) else ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def draw(net: Any, path: str) -> None:
    """The net that is applied, with its shapes and counts, as SVG, PNG or for Graphviz."""
    from layerforge.pictures.diagram import facts_of
    from layerforge.pictures.net import draw_net

    draw_net(net.definition, path, facts_of(net.graph, net.layers, [blob.shape for blob in net.blob_list]))
    print(f"\n{path}: the net that is applied")


# --- get


def _get(args: SimpleNamespace) -> int:
    from layerforge.zoo.catalogue import model
    from layerforge.zoo.fetch import copy_files, download, is_checked

    wanted = model(args.name)
    folder = Path(args.place or wanted.name)
    for path in copy_files(wanted, folder):
        print(path)
    weights = wanted.facts["weights"]
    if not args.download:
        return 0
    if not is_checked(weights):
        address = weights.get("url") if isinstance(weights, dict) else None
        print(f"weights: {f'no hash is known; they are at {address}' if address else weights}")
        return 0
    try:
        print(f"{download(weights, folder)}: weights, {weights['license']}")
    except DataError as error:
        print(f"layerforge: {error}", file=sys.stderr)
        return 1
    return 0


# --- check


def _check(args: SimpleNamespace) -> int:
    from layerforge.zoo.catalogue import model, models

    chosen = [model(args.name)] if args.name else list(models().values())
    bad = 0
    for each in chosen:
        started = time.perf_counter()
        problems = list(findings(each, args.fast))
        bad += bool(problems)
        state = "; ".join(problems) or "as its README says"
        print(f"{each.name:<22}{time.perf_counter() - started:7.1f} s  {state}", flush=True)
    print(f"{len(chosen) - bad} of {len(chosen)} models are what their READMEs say")
    return 1 if bad else 0


def findings(model: Any, fast: bool) -> Iterator[str]:
    """What is wrong with a model."""
    from layerforge.zoo.check import check_figures, check_passes

    try:
        yield from check_figures(model)
        if not fast:
            yield from check_passes(model)
    except LayerForgeError as error:
        yield str(error)


command = Command(
    "zoo", "the models that come with the project: lists, shows, copies and checks them", run,
    (Flag("fast", bool, False, "check: shapes, parameters and MACs only, no numbers"),
     Flag("download", bool, True, "get: downloads public weights too (--nodownload: only the files)")),
    arguments=("[ACTION]", "[NAME]", "[PLACE]"),
    details="ACTION is list (also without one), show NAME [PICTURE], get NAME [FOLDER], or check [NAME].",
    examples=(("layerforge zoo", "a table of the models"),
              ("layerforge zoo show resnet50 resnet50.svg", "its facts and layers, and a picture of the net"),
              ("layerforge zoo get alexnet models/alexnet", "copies its files there, and downloads the weights"),
              ("layerforge zoo check --fast", "holds every model against the figures of its README")),
)
