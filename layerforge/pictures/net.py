"""Draws a net into a file: SVG, PNG, or the text of Graphviz."""

from __future__ import annotations

import os
from collections.abc import Callable

from layerforge.core.errors import DataError
from layerforge.core.files import replacing
from layerforge.netdef.types import NetDef
from layerforge.pictures.diagram import Diagram, Facts, diagram_of
from layerforge.pictures.dot import graphviz_text
from layerforge.pictures.png import png_of
from layerforge.pictures.svg import net_svg

_KINDS: dict[str, Callable[[Diagram, str], bytes]] = {
    "svg": lambda diagram, direction: net_svg(diagram, direction).encode(),
    "png": lambda diagram, direction: png_of(net_svg(diagram, direction)),
    "dot": lambda diagram, direction: graphviz_text(diagram, direction).encode(),
    "gv": lambda diagram, direction: graphviz_text(diagram, direction).encode(),
    "raw": lambda diagram, direction: graphviz_text(diagram, direction).encode(),  # Caffe's name for it
}
KINDS = tuple(_KINDS)


def net_picture(
    definition: NetDef, kind: str = "png", facts: Facts | None = None, *, direction: str = "TB",
    learning_rates: bool = False,
) -> bytes:
    """The picture of a definition at any stage.

    kind            svg, png, or dot (the text that Graphviz reads)
    facts           shapes and counts to be shown, from `facts_of`
    direction       TB, LR, BT or RL
    learning_rates  shows lr_mult of the layers that learn

    Raises DataError for another kind, DeviceError when the packages that draw are missing.
    """
    if kind not in _KINDS:
        raise DataError(f"pictures are {', '.join(KINDS)}; {kind!r} is none of them",
                        hint="name the file net.svg or net.png")
    return _KINDS[kind](diagram_of(definition, facts, learning_rates=learning_rates), direction)


def draw_net(
    definition: NetDef, path: str, facts: Facts | None = None, *, direction: str = "TB", learning_rates: bool = False
) -> None:
    """Draws into a file; the ending of its name tells the kind.

    Raises DataError when the ending is unknown or the file cannot be written; nothing half-drawn stays behind.
    """
    kind = os.path.splitext(path)[1].lstrip(".").lower()
    made = net_picture(definition, kind, facts, direction=direction, learning_rates=learning_rates)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(made)
