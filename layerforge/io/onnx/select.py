"""Which layers, inputs and outputs an exported net has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from layerforge.core.errors import NetError
from layerforge.layers.base import Layer

METRICS = ("Accuracy", "SegAccuracy", "Silence", "HDF5Output")


@dataclass(frozen=True)
class Selection:
    """layers   numbers of the layers that stay
    inputs   blobs that come from outside;  outputs  blobs that are wanted
    unsized  outputs whose sizes depend on values
    """

    layers: frozenset[int]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    unsized: frozenset[int]


def select(net: Any, wanted: Sequence[int] = ()) -> Selection:
    """Leaves out losses, metrics, data sources, and what nothing needs.

    wanted  the outputs; (): the blobs that no layer reads but those left out
    Raises NetError when a wanted blob comes from a layer that is left out, or nothing is left.
    """
    graph, layers = net.graph, net.layers
    left_out = [layer.loss or layer.definition.type in METRICS for layer in layers]
    sources = {top for node, layer in zip(graph.nodes, layers) if _is_source(layer) for top in node.tops}
    outputs = list(wanted) or _outputs(graph, layers, left_out)
    need, kept = set(outputs), set()
    for i in reversed(range(len(layers))):
        node = graph.nodes[i]
        if need.isdisjoint(node.tops) or _is_source(layers[i]):  # a source's tops stay needed: they are inputs
            continue
        if left_out[i]:
            raise NetError(f"{node.definition}: its top is needed, but losses and metrics are not exported",
                           where=node.definition.where, hint="export the deploy net, or name other outputs")
        kept.add(i)
        need.difference_update(node.tops)
        need.update(node.bottoms)
    if not kept:
        raise NetError("nothing is left to export: the net has no outputs but losses and metrics",
                       hint="name the blobs that are wanted")
    inputs = [top for node in graph.nodes for top in node.tops if top in need and top in sources]
    free = {top for i in kept if layers[i].dynamic for top in graph.nodes[i].tops}
    for i in sorted(kept):
        if free.intersection(graph.nodes[i].bottoms):
            free.update(graph.nodes[i].tops)
    return Selection(frozenset(kept), tuple(dict.fromkeys(inputs)), tuple(outputs), frozenset(free))


def _is_source(layer: Layer) -> bool:
    """Whether its tops come from outside. DummyData of constants are constants."""
    if layer.bottoms != 0 and layer.definition.bottoms or layer.definition.type == "Parameter":
        return False
    if layer.definition.type == "DummyData":
        return not all(filler.type == "constant" for filler in layer.params.data_filler)
    return not layer.definition.bottoms


def _outputs(graph: Any, layers: Sequence[Layer], left_out: Sequence[bool]) -> list[int]:
    """What is written and then read by nobody who stays, in byte order of the names.

    A blob that Silence reads is no output. Where a Split's readers are all left out, the blob it copies is one.
    """
    ends: set[int] = set()
    read: set[int] = set()  # by layers that stay, or by Silence; from the end on
    for i in reversed(range(len(layers))):
        node, type_name = graph.nodes[i], layers[i].definition.type
        copies = type_name == "Split" and read.isdisjoint(node.tops)
        if type_name == "Silence" or not (left_out[i] or _is_source(layers[i]) or copies):
            if type_name != "Split":
                ends.update(top for top in node.tops if top not in read)
            read.difference_update(node.tops)
            read.update(node.bottoms)
        elif copies:
            ends.update(top for top in node.tops if top in graph.outputs)
            read.update(node.bottoms if ends.intersection(node.tops) else ())
    return sorted(ends, key=lambda blob: graph.blobs[blob].encode())
