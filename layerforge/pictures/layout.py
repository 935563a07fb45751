"""Places for boxes and arrows, the spine in a line.

Each block between two boxes of the spine is laid out by Graphviz' dot. Its library comes with pygraphviz: no program is
needed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from layerforge.core.errors import DeviceError
from layerforge.pictures.diagram import Diagram
from layerforge.pictures.packages import package
from layerforge.pictures.routes import Curve, Point, Rectangle, routes

DIRECTIONS = ("TB", "LR", "BT", "RL")
Size = tuple[float, float]
_INCH = 72.0
GAP = 36.0  # between neighbours of the spine
FRAME = 14.0  # around the boxes of a group


@dataclass(frozen=True)
class Layout:
    """Pixels from the upper left corner.

    boxes   a rectangle each
    arrows  control points of Bézier curves: the start, then three for each piece
    groups  name → rectangle
    """

    width: float
    height: float
    boxes: tuple[Rectangle, ...]
    arrows: tuple[Curve, ...]
    groups: dict[str, Rectangle]


@dataclass
class _Sketch:
    """The same while it grows, the data flowing down; boxes by their centres."""

    sizes: list[Size]
    centres: dict[int, Point] = field(default_factory=dict)
    arrows: dict[int, Curve] = field(default_factory=dict)
    known: dict[Any, Any] = field(default_factory=dict)  # blocks that look alike are laid out once

    def box(self, i: int) -> Rectangle:
        (x, y), (w, h) = self.centres[i], self.sizes[i]
        return x - w / 2, y - h / 2, w, h


def lay_out(diagram: Diagram, sizes: Sequence[Size], direction: str = "TB") -> Layout:
    """Places for everything.

    Raises DeviceError when Graphviz is missing or fails.
    """
    if not diagram.boxes:
        return Layout(0, 0, (), (), {})
    across = direction in ("LR", "RL")
    sketch = _Sketch([(h, w) for w, h in sizes] if across else list(sizes))
    upright = list(diagram.spine) or list(range(len(diagram.boxes)))
    if upright[-1] != len(diagram.boxes) - 1:
        upright.append(len(diagram.boxes) - 1)
    sketch.centres[upright[0]] = (0.0, 0.0)
    for top, bottom in zip(upright, upright[1:]):
        _segment(diagram, sketch, top, bottom, first=top == upright[0], last=bottom == upright[-1])
    sketch.arrows.update(routes(
        [(k, arrow.source, arrow.target) for k, arrow in enumerate(diagram.arrows) if k not in sketch.arrows],
        [sketch.box(i) for i in range(len(diagram.boxes))], list(sketch.arrows.values())))
    frames = {group: _frame(diagram, sketch, group) for group in diagram.groups}
    return _turned(diagram, sketch, frames, direction)


def _segment(diagram: Diagram, sketch: _Sketch, top: int, bottom: int, *, first: bool, last: bool) -> None:
    """Places the boxes behind `top` up to `bottom`, which no arrow passes by."""
    inside = [k for k, arrow in enumerate(diagram.arrows) if top <= arrow.source and arrow.target <= bottom]
    x, y = sketch.centres[top]
    if bottom == top + 1 and len(inside) <= 1:
        heights = [sketch.sizes[i][1] / 2 for i in (top, bottom)]
        sketch.centres[bottom] = (x, y + sum(heights) + GAP)
        for k in inside:
            start, end = y + heights[0], y + heights[0] + GAP
            sketch.arrows[k] = ((x, start), (x, start + GAP / 3), (x, end - GAP / 3), (x, end))
        return
    edges = [(diagram.arrows[k].source - top, diagram.arrows[k].target - top) for k in inside]
    groups = [diagram.boxes[i].group for i in range(top, bottom + 1)]
    look = (tuple(edges), tuple(sketch.sizes[top : bottom + 1]), tuple(groups), first, last)
    if look not in sketch.known:
        sketch.known[look] = _dot(edges, look[1], groups, first, last)
    centres, curves = sketch.known[look]
    dx, dy = x - centres[0][0], y - centres[0][1]
    for i, (cx, cy) in enumerate(centres):
        sketch.centres[top + i] = (cx + dx, cy + dy)
    for k, curve in zip(inside, curves):
        sketch.arrows[k] = tuple((px + dx, py + dy) for px, py in curve)


def _dot(
    edges: Sequence[tuple[int, int]], sizes: Sequence[Size], groups: Sequence[str], first: bool, last: bool
) -> tuple[list[Point], list[Curve]]:
    """Centres and curves of a block, the data flowing down. Box 0 is uppermost, the last box lowermost."""
    graph = package("pygraphviz").AGraph(directed=True, strict=False, rankdir="TB", nodesep=0.25, ranksep=GAP / _INCH)
    graph.node_attr.update(shape="box", fixedsize="true", label="")
    graph.edge_attr.update(arrowhead="normal", arrowsize="0.7")
    end = len(sizes) - 1
    for i, (width, height) in enumerate(sizes):
        graph.add_node(str(i), width=f"{width / _INCH:.4f}", height=f"{height / _INCH:.4f}")
    for source, target in edges:
        graph.add_edge(str(source), str(target))
    fed, read = {target for _, target in edges}, {source for source, _ in edges}
    for i in range(1, end):  # what begins or ends here stays between the two boxes of the spine
        if i not in fed:
            graph.add_edge("0", str(i), "unseen", style="invis", weight=0, minlen=0 if first else 1)
        if i not in read:
            graph.add_edge(str(i), str(end), "unseen", style="invis", weight=0, minlen=0 if last else 1)
    several = sorted({group for group in groups[1:-1] if group})
    if len(several) > 1:  # frames side by side must not be sheared much: this holds the two in a line
        graph.add_edge("0", str(end), "spine", style="invis", weight=10)
    for k, group in enumerate(several if len(several) > 1 else ()):
        graph.add_subgraph([str(i) for i, name in enumerate(groups) if name == group and 0 < i < end],
                           name=f"cluster{k}", label="", margin=FRAME)
    try:
        found = json.loads(graph.draw(format="json0", prog="dot"))
    except (OSError, ValueError, RuntimeError) as error:
        raise DeviceError(f"Graphviz could not lay the net out: {error}") from None
    nodes = {each["name"]: _numbers(each["pos"]) for each in found["objects"] if "pos" in each}
    names = {each["_gvid"]: each["name"] for each in found["objects"]}
    curves: dict[tuple[str, str], list[Curve]] = {}
    for edge in found.get("edges", ()):
        if edge.get("style") != "invis":
            curves.setdefault((names[edge["tail"]], names[edge["head"]]), []).append(_curve(edge["pos"]))
    centres = [(nodes[str(i)][0], -nodes[str(i)][1]) for i in range(len(sizes))]
    return _upright(centres, [curves[str(source), str(target)].pop() for source, target in edges])


def _upright(centres: list[Point], curves: list[Curve]) -> tuple[list[Point], list[Curve]]:
    """The block sheared so that its last box stands under its first; boxes of one row move alike."""
    (x0, y0), (x1, y1) = centres[0], centres[-1]
    slope = (x1 - x0) / (y1 - y0) if y1 > y0 else 0.0

    def moved(p: Point) -> Point:
        return p[0] - slope * (p[1] - y0), p[1]

    return [moved(p) for p in centres], [tuple(map(moved, curve)) for curve in curves]


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _curve(text: str) -> Curve:
    """dot's "e,x,y x,y …": the arrow's tip first, then the curve; its y goes up."""
    points = text.split()
    tip = [_numbers(part[2:]) for part in points if part.startswith("e,")]
    path = [_numbers(part) for part in points if part[0] not in "es"]
    if tip:
        path += [path[-1], tip[0], tip[0]]
    return tuple((x, -y) for x, y in path)


def _frame(diagram: Diagram, sketch: _Sketch, group: str) -> Rectangle:
    """The rectangle around a group's boxes, with room for its name."""
    boxes = [sketch.box(i) for i, box in enumerate(diagram.boxes) if box.group == group]
    left, top = min(b[0] for b in boxes) - FRAME, min(b[1] for b in boxes) - FRAME - 4
    right, bottom = max(b[0] + b[2] for b in boxes) + FRAME, max(b[1] + b[3] for b in boxes) + FRAME - 4
    return left, top, right - left, bottom - top


def _turned(diagram: Diagram, sketch: _Sketch, frames: dict[str, Rectangle], direction: str) -> Layout:
    """Everything in the direction asked for, the upper left corner at 0, 0."""
    across, back = direction in ("LR", "RL"), direction in ("BT", "RL")

    def rectangle(r: Rectangle) -> Rectangle:
        x, y, w, h = r
        y = -y - h if back else y
        return (y, x, h, w) if across else (x, y, w, h)

    def point(p: Point) -> Point:
        x, y = p[0], -p[1] if back else p[1]
        return (y, x) if across else (x, y)

    boxes = [rectangle(sketch.box(i)) for i in range(len(diagram.boxes))]
    groups = {name: rectangle(frame) for name, frame in frames.items()}
    arrows = [tuple(map(point, sketch.arrows[k])) for k in range(len(diagram.arrows))]
    corners = [(x, y) for x, y, _, _ in (*boxes, *groups.values())] + [p for curve in arrows for p in curve]
    ends = [(x + w, y + h) for x, y, w, h in (*boxes, *groups.values())] + [p for curve in arrows for p in curve]
    left, top = min(x for x, _ in corners), min(y for _, y in corners)
    width, height = max(x for x, _ in ends) - left, max(y for _, y in ends) - top
    return Layout(
        width, height, tuple((x - left, y - top, w, h) for x, y, w, h in boxes),
        tuple(tuple((x - left, y - top) for x, y in curve) for curve in arrows),
        {name: (x - left, y - top, w, h) for name, (x, y, w, h) in groups.items()})
