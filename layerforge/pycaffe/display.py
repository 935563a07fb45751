"""How nets and solvers show themselves in a notebook."""

from __future__ import annotations

import math
import os
import tempfile
from html import escape

from layerforge.core.errors import DeviceError
from layerforge.net.net import Net
from layerforge.pictures.curves import Curve, Panel, draw_curves
from layerforge.pictures.diagram import diagram_of, facts_of
from layerforge.pictures.svg import net_svg
from layerforge.solver.loop import Solver
from layerforge.solver.observer import Report, TestReport

MOST = 2000  # points of a curve; beyond that every second one goes


class History:
    """What a solver has reported: losses by iteration, and the outputs of its tests."""

    def __init__(self) -> None:
        self.losses: list[tuple[int, float]] = []
        self.tests: dict[str, list[tuple[int, float]]] = {}
        self._every = 1

    def iteration(self, report: Report) -> None:
        """Takes note of a loss."""
        if report.iteration % self._every == 0:
            self.losses.append((report.iteration, report.last_loss))
        if len(self.losses) > MOST:
            self._every *= 2
            self.losses = [point for point in self.losses if point[0] % self._every == 0]

    def test(self, report: TestReport) -> None:
        """Takes note of a test's single outputs."""
        for output in report.outputs:
            self.tests.setdefault(f"test net {report.net}: {output.name}", []).append((report.iteration, output.value))


def svg_of(net: Net) -> str | None:
    """The net with its shapes; None where the packages that draw are missing."""
    facts = facts_of(net.graph, net.layers, [blob.shape for blob in net.blob_list])
    try:
        return net_svg(diagram_of(net.definition, facts))
    except DeviceError:
        return None


def html_of(solver: Solver, history: History) -> str:
    """Progress in words and as a bar, and below it the curves."""
    total = solver.params.max_iter
    share = min(solver.iter / total, 1.0) if total else 0.0
    words = f"iteration {solver.iter:,} of {total:,} · learning rate {solver.lr:g}"
    if history.losses:
        words += f" · loss {history.losses[-1][1]:g}"
    bar = (f'<div style="width:30em;background:#e3e6ea;border-radius:4px"><div style="width:{share:.1%};height:8px;'
           'background:#3b7dd8;border-radius:4px"></div></div>')
    title = f"{solver.rule.name} solver of {solver.net.name or 'a net'}"
    return f"<div><b>{escape(title)}</b><br>{escape(words)}{bar}{_curves(history)}</div>"


def _curves(history: History) -> str:
    """The curves as SVG; nothing where there are no two points, or no package to draw them."""
    curves = {"loss": history.losses, **history.tests}
    named = [(name, [point for point in points if math.isfinite(point[1])]) for name, points in curves.items()]
    panels = [
        Panel(name, (Curve(name, [x for x, _ in points], [y for _, y in points], i, dots=name != "loss"),))
        for i, (name, points) in enumerate(named) if len(points) > 1
    ]
    if not panels:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "curves.svg")
        try:
            draw_curves(panels, path)
        except DeviceError:
            return ""
        with open(path, encoding="utf-8") as file:
            text = file.read()
    return text[text.index("<svg") :]
