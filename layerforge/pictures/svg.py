"""A diagram with places as SVG text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from layerforge.pictures.diagram import Arrow, Box, Diagram
from layerforge.pictures.families import FAMILIES, Family, family_of
from layerforge.pictures.layout import Layout, lay_out
from layerforge.pictures.routes import Point, Rectangle
from layerforge.pictures.text import FAMILY, width

NAME, SMALL, CHIP, TITLE = 12.5, 11.0, 10.0, 20.0  # font sizes in pixels
PAD, GAP, STRIPE = 10.0, 18.0, 5.0
LEAST_WIDTH = 110.0
MARGIN, HEAD = 24.0, 74.0  # around the picture; above the net, for the title and the legend
_CONTROL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML cannot hold

_STYLE = f"""
text {{ font-family: {FAMILY}; font-size: {SMALL}px; fill: #57606a; }}
.name {{ font-size: {NAME}px; font-weight: bold; fill: #1f2328; }}
.title {{ font-size: {TITLE}px; font-weight: bold; fill: #1f2328; }}
.chip {{ font-size: {CHIP}px; }}
.right {{ text-anchor: end; }}
.middle {{ text-anchor: middle; }}
.group {{ fill: #f6f8fa; stroke: #d8dee4; }}
.grouped {{ font-size: {SMALL}px; font-weight: bold; fill: #8c959f; }}
.arrow {{ fill: none; stroke: #8c959f; stroke-width: 1.4; }}
.tip {{ fill: #8c959f; }}
.blob {{ font-size: {CHIP}px; fill: #6e7781; }}
"""


def net_svg(diagram: Diagram, direction: str = "TB") -> str:
    """The picture of a net.

    direction  TB (downwards), LR (to the right), BT or RL
    Raises DeviceError when the packages that lay it out are missing.
    """
    layout = lay_out(diagram, [box_size(box) for box in diagram.boxes], direction)
    head = list(_head(diagram))
    least = max(width(diagram.title, TITLE, True), width(diagram.subtitle, SMALL), _legend_width(diagram))
    wide, high = max(layout.width, least) + 2 * MARGIN, layout.height + HEAD + 2 * MARGIN
    left = MARGIN + max(0.0, (least - layout.width) / 2)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{high:.0f}"'
        f' viewBox="0 0 {wide:.0f} {high:.0f}">',
        f"<title>{_text(diagram.title)}</title>", f"<style>{_STYLE}</style>",
        '<rect width="100%" height="100%" fill="#ffffff"/>', *head,
        f'<g transform="translate({left:.1f} {MARGIN + HEAD:.1f})">', *_groups(layout),
        *(line for arrow, curve in zip(diagram.arrows, layout.arrows) for line in _arrow(arrow, curve)),
        *(line for box, place in zip(diagram.boxes, layout.boxes) for line in _box(box, place)),
        "</g>", "</svg>", "",
    ]
    return "\n".join(lines)


def box_size(box: Box) -> tuple[float, float]:
    """Width and height that the texts of a box need."""
    rows = [
        width(box.title, NAME, True) + (GAP + width(box.shape, SMALL) if box.shape else 0),
        width(box.parts[0].words, SMALL) + (GAP + width(box.count, SMALL) if box.count else 0),
        sum(_chip_width(part.words) + 4 for part in box.parts[1:]) - 4,
        *(width(line, SMALL) for line in box.lines),
    ]
    height = 42 + (21 if len(box.parts) > 1 else 0) + 15 * len(box.lines)
    return max(LEAST_WIDTH, max(rows) + 2 * PAD + STRIPE), float(height)


def _chip_width(words: str) -> float:
    return width(words, CHIP) + 12


def _families(diagram: Diagram) -> list[Family]:
    found = {family_of(part.type) for box in diagram.boxes for part in box.parts}
    return [family for family in FAMILIES if family in found]


def _legend_width(diagram: Diagram) -> float:
    return sum(width(family.name, SMALL) + 34 for family in _families(diagram))


def _head(diagram: Diagram) -> Iterator[str]:
    """Title, figures and the legend of the families that occur."""
    yield f'<text class="title" x="{MARGIN}" y="{MARGIN + 18}">{_text(diagram.title)}</text>'
    yield f'<text x="{MARGIN}" y="{MARGIN + 37}">{_text(diagram.subtitle)}</text>'
    x = MARGIN
    for family in _families(diagram):
        yield f'<rect x="{x:.1f}" y="{MARGIN + 47}" width="12" height="12" rx="3" fill="{family.strong}"/>'
        yield f'<text x="{x + 17:.1f}" y="{MARGIN + 57}">{family.name}</text>'
        x += width(family.name, SMALL) + 34


def _groups(layout: Layout) -> Iterator[str]:
    for name, (x, y, w, h) in layout.groups.items():
        yield f'<rect class="group" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="10"/>'
        yield f'<text class="grouped" x="{x + 10:.1f}" y="{y + 14:.1f}">{_text(name)}</text>'


def _box(box: Box, place: Rectangle) -> Iterator[str]:
    x, y, w, h = place
    family = family_of(box.parts[0].type)
    left, right = x + STRIPE + PAD - 1, x + w - PAD
    yield "<g>"
    yield f"<title>{_text(_tooltip(box))}</title>"
    yield f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="6" fill="{family.strong}"/>'
    across = w - STRIPE - 6
    yield (f'<path d="M{x + STRIPE:.1f} {y + 1:.1f}h{across:.1f}q5 0 5 5v{h - 12:.1f}q0 5 -5 5h{-across:.1f}z"'
           f' fill="{family.pale}"/>')
    yield f'<text class="name" x="{left:.1f}" y="{y + 17:.1f}">{_text(box.title)}</text>'
    if box.shape:
        yield f'<text class="right" x="{right:.1f}" y="{y + 17:.1f}">{_text(box.shape)}</text>'
    yield f'<text x="{left:.1f}" y="{y + 33:.1f}" style="fill: {family.dark}">{_text(box.parts[0].words)}</text>'
    if box.count:
        yield f'<text class="right" x="{right:.1f}" y="{y + 33:.1f}">{_text(box.count)}</text>'
    below = y + 42
    for part in box.parts[1:]:
        chip, wide = family_of(part.type), _chip_width(part.words)
        yield (f'<rect x="{left:.1f}" y="{below - 1:.1f}" width="{wide:.1f}" height="15" rx="7.5" fill="#ffffff"'
               f' stroke="{chip.strong}"/>')
        yield (f'<text class="chip middle" x="{left + wide / 2:.1f}" y="{below + 10:.1f}"'
               f' style="fill: {chip.dark}">{_text(part.words)}</text>')
        left += wide + 4
    below += 21 if len(box.parts) > 1 else 0
    for line in box.lines:
        yield f'<text x="{x + STRIPE + PAD - 1:.1f}" y="{below + 6:.1f}">{_text(line)}</text>'
        below += 15
    yield "</g>"


def _tooltip(box: Box) -> str:
    lines = [f"{part.name}: {part.words}" for part in box.parts]
    return "\n".join([*lines, *filter(None, (box.shape, box.count and f"{box.count} parameters"))])


def _arrow(arrow: Arrow, curve: Sequence[Point]) -> Iterator[str]:
    (x, y), *rest = curve
    pieces = [rest[i : i + 3] for i in range(0, len(rest), 3)]
    path = f"M{x:.1f} {y:.1f}" + "".join("C" + " ".join(f"{a:.1f} {b:.1f}" for a, b in piece) for piece in pieces)
    yield f'<path class="arrow" d="{path}"><title>{_text(arrow.blob)}</title></path>'
    yield f'<path class="tip" d="{_tip(curve)}"/>'
    if arrow.label:
        (x1, y1) = next((p for p in curve[1:] if p != (x, y)), (x, y))
        level = abs(x1 - x) > 3 * abs(y1 - y)
        place = (x + 6 if x1 > x else x - 6, y - 4) if level else ((x + x1) / 2 + 5, (y + y1) / 2 + 4)
        side = " right" if level and x1 < x else ""
        yield f'<text class="blob{side}" x="{place[0]:.1f}" y="{place[1]:.1f}">{_text(arrow.label)}</text>'


def _tip(curve: Sequence[Point]) -> str:
    """A small triangle at the end of a curve, along its last direction."""
    ex, ey = curve[-1]
    bx, by = next((p for p in reversed(curve) if abs(p[0] - ex) + abs(p[1] - ey) > 1), curve[0])
    length = max(((ex - bx) ** 2 + (ey - by) ** 2) ** 0.5, 1e-6)
    dx, dy = (ex - bx) / length * 7, (ey - by) / length * 7
    ax, ay = ex - dx, ey - dy
    return (f"M{ex:.1f} {ey:.1f}L{ax - dy * 0.5:.1f} {ay + dx * 0.5:.1f}"
            f"L{ax + dy * 0.5:.1f} {ay - dx * 0.5:.1f}z")


def _text(text: str) -> str:
    return escape(_CONTROL.sub("�", text))
