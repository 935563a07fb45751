"""caffe.draw: pictures of nets. Neither Graphviz's programs nor pydot are needed."""

from __future__ import annotations

import os
from typing import Any

from google.protobuf import text_format

from layerforge.core.files import replacing
from layerforge.netdef.filter import filter_net
from layerforge.netdef.types import NetDef, NetState, Phase
from layerforge.pictures.net import net_picture
from layerforge.schema.read import parse_net


class Graph:
    """A drawing with the methods of a pydot graph that scripts use."""

    def __init__(self, definition: NetDef, rankdir: str, display_lrm: bool) -> None:
        self._definition, self._rankdir, self._display_lrm = definition, rankdir, display_lrm

    def create(self, prog: Any = None, format: str = "png") -> bytes:
        """The picture. format: png, svg, or dot, the text that Graphviz reads."""
        return net_picture(self._definition, format, direction=self._rankdir, learning_rates=self._display_lrm)

    def to_string(self) -> str:
        """The text that Graphviz reads."""
        return self.create(format="dot").decode()

    def write(self, path: str | os.PathLike[str], prog: Any = None, format: str = "dot") -> bool:
        """Writes the picture into a file."""
        made = self.create(format=format)
        with replacing(os.fspath(path)) as temporary, open(temporary, "wb") as file:
            file.write(made)
        return True


def get_pydot_graph(
    caffe_net: Any, rankdir: str, label_edges: bool = True, phase: int | None = None, display_lrm: bool = False
) -> Graph:
    """The drawing of a NetParameter.

    rankdir      LR, TB, BT or RL
    label_edges  has no effect: layers tell their sizes themselves
    phase        only the layers of this phase
    display_lrm  shows the learning-rate multipliers of layers that learn
    """
    definition = parse_net(text_format.MessageToString(caffe_net), caffe_net.name or "the net")
    if phase is not None:
        definition = filter_net(definition, NetState(Phase(phase)))
    return Graph(definition, rankdir, display_lrm)


def draw_net(
    caffe_net: Any, rankdir: str, ext: str = "png", phase: int | None = None, display_lrm: bool = False
) -> bytes:
    """The picture of a NetParameter: PNG, or SVG, or the text that Graphviz reads (ext "svg", "dot")."""
    return get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm).create(format=ext)


def draw_net_to_file(
    caffe_net: Any, filename: str | os.PathLike[str], rankdir: str = "LR", phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Draws a NetParameter into a file; the ending of its name tells the kind of picture."""
    kind = os.path.splitext(os.fspath(filename))[1].lstrip(".").lower()
    get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm).write(filename, format=kind)
