"""Places for boxes and arrows, by Graphviz' dot: its library comes with pygraphviz, no program is needed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from layerforge.core.errors import DeviceError
from layerforge.pictures.diagram import Diagram
from layerforge.pictures.packages import package

DIRECTIONS = ("TB", "LR", "BT", "RL")
Point = tuple[float, float]
Rectangle = tuple[float, float, float, float]  # left, top, width, height
_INCH = 72.0


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
    arrows: tuple[tuple[Point, ...], ...]
    groups: dict[str, Rectangle]


def dot_graph(diagram: Diagram, sizes: Sequence[tuple[float, float]], direction: str = "TB") -> Any:
    """The diagram as a pygraphviz graph with boxes of fixed sizes in pixels, without texts."""
    graph = package("pygraphviz").AGraph(directed=True, strict=False, rankdir=direction, nodesep=0.25, ranksep=0.4)
    graph.node_attr.update(shape="box", fixedsize="true", label="")
    graph.edge_attr.update(arrowhead="normal", arrowsize="0.7")
    for i, (width, height) in enumerate(sizes):
        graph.add_node(str(i), width=f"{width / _INCH:.4f}", height=f"{height / _INCH:.4f}")
    for arrow in diagram.arrows:
        graph.add_edge(str(arrow.source), str(arrow.target), key=None)
    for k, group in enumerate(diagram.groups):
        inside = [str(i) for i, box in enumerate(diagram.boxes) if box.group == group]
        graph.add_subgraph(inside, name=f"cluster{k}", label="", margin=18)
    return graph


def lay_out(diagram: Diagram, sizes: Sequence[tuple[float, float]], direction: str = "TB") -> Layout:
    """Places for everything.

    Raises DeviceError when Graphviz is missing or fails.
    """
    if not diagram.boxes:
        return Layout(0, 0, (), (), {})
    graph = dot_graph(diagram, sizes, direction)
    try:
        found = json.loads(graph.draw(format="json0", prog="dot"))
    except (OSError, ValueError, RuntimeError) as error:
        raise DeviceError(f"Graphviz could not lay the net out: {error}") from None
    _, _, width, height = _numbers(found["bb"])
    nodes = {each["name"]: each for each in found["objects"] if "pos" in each}
    boxes = []
    for i, (w, h) in enumerate(sizes):
        x, y = _numbers(nodes[str(i)]["pos"])
        boxes.append((x - w / 2, height - y - h / 2, w, h))
    names = {each["_gvid"]: each["name"] for each in found["objects"]}
    curves: dict[tuple[str, str], list[tuple[Point, ...]]] = {}
    for edge in found.get("edges", ()):
        curves.setdefault((names[edge["tail"]], names[edge["head"]]), []).append(_curve(edge["pos"], height))
    arrows = tuple(curves[str(arrow.source), str(arrow.target)].pop() for arrow in diagram.arrows)
    clusters = {each["name"]: _numbers(each["bb"]) for each in found["objects"] if each["name"].startswith("cluster")}
    groups = {}
    for k, group in enumerate(diagram.groups):
        left, bottom, right, top = clusters[f"cluster{k}"]
        groups[group] = (left, height - top, right - left, top - bottom)
    return Layout(width, height, tuple(boxes), arrows, groups)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _curve(text: str, height: float) -> tuple[Point, ...]:
    """dot's "e,x,y x,y …": the arrow's tip first, then the curve."""
    points = text.split()
    tip = [part for part in points if part.startswith("e,")]
    path = [part for part in points if part[0] not in "es"]
    xy = [tuple(_numbers(part)) for part in path]
    if tip:
        end = tuple(_numbers(tip[0][2:]))
        xy += [xy[-1], end, end]
    return tuple((x, height - y) for x, y in xy)


def graphviz_text(diagram: Diagram, direction: str = "TB") -> str:
    """The diagram in Graphviz' own language, with labels, for programs that draw it in their way."""
    lines = [f"digraph {_quoted(diagram.title)} {{", f"  rankdir={direction};", "  node [shape=box, style=rounded];"]
    for i, box in enumerate(diagram.boxes):
        figures = " ".join(filter(None, (box.shape, box.count)))
        label = "\n".join([box.parts[0].name, *(part.words for part in box.parts), figures])
        lines.append(f"  n{i} [label={_quoted(label)}];")
    for arrow in diagram.arrows:
        label = f" [label={_quoted(arrow.label)}]" if arrow.label else ""
        lines.append(f"  n{arrow.source} -> n{arrow.target}{label};")
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
