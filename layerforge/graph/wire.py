"""Names become numbers: which blob each layer reads and writes."""

from __future__ import annotations

from dataclasses import dataclass

from layerforge.core.errors import NetError
from layerforge.layers.base import Layer
from layerforge.layers.registry import layer_class
from layerforge.netdef.types import LayerDef, NetDef

AUTOMATIC = "(automatic)"  # Caffe's name for a top that the text leaves out


@dataclass(frozen=True, slots=True)
class Node:
    """One layer in the graph: its definition, its class, and the numbers of the blobs it reads and writes."""

    definition: LayerDef
    layer_class: type[Layer]
    bottoms: tuple[int, ...]
    tops: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """All layers in order. An in-place layer has the same blob as bottom and top.

    blobs    the names; numbers index them
    inputs   tops of Input layers, in the order of the text
    outputs  blobs nobody reads, in byte order of their names, as Caffe lists them
    """

    name: str
    nodes: tuple[Node, ...]
    blobs: tuple[str, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def wire(definition: NetDef) -> Graph:
    """The graph of a checked definition with splits.

    Raises NetError for an unknown layer type, or a layer with too few or too many bottoms or tops.
    """
    names: list[str] = []
    number: dict[str, int] = {}
    unread: set[str] = set()
    nodes: list[Node] = []
    inputs: list[int] = []
    for layer in definition.layers:
        cls = layer_class(layer)
        _check_counts(layer, cls)
        bottoms = tuple(number[b] for b in layer.bottoms)
        unread.difference_update(layer.bottoms)
        tops = []
        for i, top in enumerate(layer.tops):
            if not (i < len(layer.bottoms) and layer.bottoms[i] == top):
                number[top] = len(names)
                names.append(top)
            tops.append(number[top])
            unread.add(top)
            if layer.type == "Input":
                inputs.append(number[top])
        while cls.auto_tops and len(tops) < _bounds(cls.tops)[0]:
            tops.append(len(names))
            names.append(AUTOMATIC)
        nodes.append(Node(layer, cls, bottoms, tuple(tops)))
    outputs = tuple(number[name] for name in sorted(unread, key=lambda n: n.encode()))
    return Graph(definition.name, tuple(nodes), tuple(names), tuple(inputs), outputs)


def _bounds(count: int | tuple[int, int | None]) -> tuple[int, int | None]:
    return (count, count) if isinstance(count, int) else count


def _check_counts(layer: LayerDef, cls: type[Layer]) -> None:
    for what, have, allowed in (("bottom", len(layer.bottoms), cls.bottoms), ("top", len(layer.tops), cls.tops)):
        least, most = _bounds(allowed)
        if cls.auto_tops and what == "top":
            least = 0
        if have < least or (most is not None and have > most):
            want = f"exactly {least}" if least == most else f"at least {least}" if have < least else f"at most {most}"
            raise NetError(
                f"{layer}: has {have} {what}s, needs {want}",
                where=layer.place(f"{what}[0]"),
                hint=f"`layerforge layers {layer.type}` says what each {what} is",
            )
    if cls.paired and len(layer.bottoms) != len(layer.tops):
        raise NetError(
            f"{layer}: has {len(layer.bottoms)} bottoms and {len(layer.tops)} tops, needs as many tops as bottoms",
            where=layer.where,
        )
