"""A diagram in Graphviz' own language, for programs that draw it in their way."""

from __future__ import annotations

from layerforge.pictures.diagram import Diagram


def graphviz_text(diagram: Diagram, direction: str = "TB") -> str:
    """Boxes and arrows with their labels."""
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
