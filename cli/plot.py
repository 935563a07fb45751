"""`layerforge plot`: loss, accuracy and learning rate of training logs as curves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from types import SimpleNamespace

from layerforge.cli.flags import Command, Flag
from layerforge.pictures.curves import Curve, Panel, distinct, draw_curves
from layerforge.solver.log_reader import Row, TrainingLog, read_log

_ACCURACY = re.compile(r"acc|top[-_/]?\d|precision|recall|\bm?ap\b|eval", re.IGNORECASE)
_LOSS = re.compile(r"loss", re.IGNORECASE)


def run(args: SimpleNamespace) -> int:
    """Reads every log and draws the panels."""
    paths = [path for path in (args.logfile, *args.more.split(",")) if path]
    logs = dict(zip(distinct(paths), map(read_log, paths)))
    panels = panels_of(logs, seconds=args.x == "seconds")
    draw_curves(panels, args.out, title=", ".join(logs), x_label=args.x)
    print(f"{args.out}: {', '.join(panel.title.lower() for panel in panels)}")
    return 0


def panels_of(logs: dict[str, TrainingLog], *, seconds: bool = False) -> list[Panel]:
    """Losses first, then accuracies, then other outputs each by itself, the learning rate last."""
    curves: dict[str, list[Curve]] = {"Loss": [], "Accuracy": []}
    rates: list[Curve] = []
    colour = 0
    for name, log in logs.items():
        prefix = f"{name}: " if len(logs) > 1 else ""
        outputs = list(dict.fromkeys(key for row in (*log.train, *log.test) for key in row.outputs))
        if log.losses and not (seconds or any(_LOSS.search(key) for row in log.train for key in row.outputs)):
            xs, ys = [at for at, _ in log.losses], [loss for _, loss in log.losses]
            curves["Loss"].append(Curve(f"{prefix}train loss", xs, ys, colour))
            colour += not any(_LOSS.search(key) for key in outputs)  # a test loss shares its colour
        for output in outputs:
            found = list(_curves(log, output, prefix, colour, seconds))
            curves.setdefault(_title(output), []).extend(found)
            colour += 1
        rates += _rates(log, f"{prefix}learning rate", len(rates), seconds)
    panels = [Panel(title, tuple(found)) for title, found in curves.items() if found]
    return panels + ([Panel("Learning rate", tuple(rates), low=True)] if rates else [])


def _title(output: str) -> str:
    return "Loss" if _LOSS.search(output) else "Accuracy" if _ACCURACY.search(output) else output


def _curves(log: TrainingLog, output: str, prefix: str, colour: int, seconds: bool) -> Iterator[Curve]:
    """The train net's values, then those of each test net."""
    train = [row for row in log.train if output in row.outputs]
    if train:
        yield Curve(f"{prefix}train {output}", _xs(train, seconds), [row.outputs[output] for row in train], colour)
    nets = sorted({row.net for row in log.test if output in row.outputs})
    for net in nets:
        rows = [row for row in log.test if output in row.outputs and row.net == net]
        which = f"test {output}" if len(nets) == 1 else f"test #{net} {output}"
        yield Curve(prefix + which, _xs(rows, seconds), [row.outputs[output] for row in rows], colour + net, dots=True)


def _rates(log: TrainingLog, label: str, colour: int, seconds: bool) -> list[Curve]:
    rows = [row for row in log.train if row.learning_rate == row.learning_rate]  # without NaN
    values = [row.learning_rate for row in rows]
    in_steps = 3 * len(set(values)) <= len(values)  # else it is a smooth policy, told now and then
    return [Curve(label, _xs(rows, seconds), values, colour, steps=in_steps)] if rows else []


def _xs(rows: Sequence[Row], seconds: bool) -> list[float]:
    return [row.seconds if seconds else row.iteration for row in rows]


command = Command(
    "plot", "draws the losses, accuracies and learning rates of training logs", run,
    (Flag("out", str, "curves.png", "the picture: .png, .svg or .pdf", "FILE"),
     Flag("more", str, "", "further logs to compare with, separated by commas", "FILES"),
     Flag("x", str, "iterations", "what lies below the curves", choices=("iterations", "seconds"))),
    arguments=("LOGFILE",),
    details="Reads Caffe's logs and our own. Pictures need: pip install 'layerforge[pictures]'.",
    examples=(("layerforge plot train.log --out train.svg", "loss, accuracy and learning rate"),
              ("layerforge plot new.log --more old.log,older.log --x seconds", "three runs over their time")),
)
