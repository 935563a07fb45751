"""Curves over the course of a training run, in panels below one another, by matplotlib."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from layerforge.core.errors import DataError
from layerforge.core.files import replacing
from layerforge.pictures.packages import package

KINDS = ("svg", "png", "pdf")
COLOURS = ("#3b7dd8", "#d4453c", "#2a9d8f", "#d98a1f", "#7a5cd0", "#cf4f7b", "#4c9a4a", "#7d8794")
MANY = 80  # points from which a curve is drawn pale, with its running mean
_STYLE = {
    "font.family": "DejaVu Sans", "font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "layerforge",
    "axes.edgecolor": "#8c959f", "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.grid": True, "grid.color": "#e3e6ea", "axes.spines.top": False, "axes.spines.right": False,
    "axes.axisbelow": True, "xtick.color": "#57606a", "ytick.color": "#57606a", "legend.frameon": False,
}


@dataclass(frozen=True)
class Curve:
    """Values over x.

    colour  curves of one colour number belong together: a train loss and its test loss
    dots    few points that matter each, as tests do; else a line
    steps   holds each value until the next, as a learning rate does
    """

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    colour: int = 0
    dots: bool = False
    steps: bool = False


@dataclass(frozen=True)
class Panel:
    """Curves on one pair of axes.

    low  it says less than others: a lower panel will do
    """

    title: str
    curves: tuple[Curve, ...]
    low: bool = False

    @property
    def logarithmic(self) -> bool:
        """Whether its values are positive and span so much that a plain scale hides the small ones."""
        values = [y for curve in self.curves for y in curve.ys if math.isfinite(y)]
        return bool(values) and min(values) > 0 and max(values) > 30 * min(values)


def draw_curves(panels: Sequence[Panel], path: str, *, title: str = "", x_label: str = "iterations") -> None:
    """Draws the panels into a file; the ending of its name tells the kind.

    Raises DataError when the ending is unknown or the file cannot be written, DeviceError without matplotlib.
    """
    kind = os.path.splitext(path)[1].lstrip(".").lower()
    if kind not in KINDS:
        raise DataError(f"curves are {', '.join(KINDS)}; {kind!r} is none of them",
                        hint="name the file curves.svg or curves.png")
    figure_module, matplotlib = package("matplotlib.figure"), package("matplotlib")
    with matplotlib.rc_context(_STYLE):
        high = 1.0 + sum(_heights(panels))
        figure = figure_module.Figure(figsize=(9, high), dpi=150, layout="constrained")
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=_heights(panels))[:, 0]
        for each, panel in zip(axes, panels):
            _panel(each, panel)
        axes[-1].set_xlabel(x_label, color="#57606a")
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=13)
        with replacing(path) as temporary:
            figure.savefig(temporary, format=kind, metadata={"Date": None} if kind == "svg" else None)


def _heights(panels: Sequence[Panel]) -> list[float]:
    """In inches."""
    return [1.6 if panel.low else 2.9 for panel in panels]


def _panel(axes: Any, panel: Panel) -> None:
    axes.set_title(panel.title, color="#1f2328")
    if panel.logarithmic:
        axes.set_yscale("log")
    for curve in panel.curves:
        colour = COLOURS[curve.colour % len(COLOURS)]
        if curve.steps:
            axes.step(curve.xs, curve.ys, where="post", color=colour, label=curve.label)
        elif curve.dots:
            mark = "o" if len(curve.xs) <= MANY else ""
            axes.plot(curve.xs, curve.ys, marker=mark, markersize=3.5, color=colour, linewidth=1.8, label=curve.label)
        elif len(curve.xs) < MANY:
            axes.plot(curve.xs, curve.ys, color=colour, linewidth=1.2, alpha=0.75, label=curve.label)
        else:
            axes.plot(curve.xs, curve.ys, color=colour, linewidth=0.8, alpha=0.25)
            axes.plot(curve.xs, running_mean(curve.ys, len(curve.ys) // 40), color=colour, linewidth=1.4, alpha=0.55,
                      label=curve.label)
    if len(panel.curves) > 1 or not panel.low:
        axes.legend(fontsize=9, loc="best")


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of the last `window` finite values at each place; NaN before the first one."""
    means, recent = [], []
    for value in values:
        recent = [*recent, value][-window:] if math.isfinite(value) else recent
        means.append(math.fsum(recent) / len(recent) if recent else math.nan)
    return means


def distinct(names: Sequence[str]) -> list[str]:
    """The names without what all of them begin with up to a slash: files in one folder become their own names."""
    if len(names) < 2:
        return [os.path.basename(name) for name in names]
    parts = [os.path.abspath(name).split(os.sep) for name in names]
    same = sum(1 for _ in itertools.takewhile(lambda each: len(set(each)) == 1, zip(*(p[:-1] for p in parts))))
    return [os.sep.join(part[same:]) for part in parts]
