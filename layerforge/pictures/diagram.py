"""Diagram: a net as boxes and arrows that have no places yet. In-place layers are parts of their producer's box."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from layerforge.graph.wire import Graph
from layerforge.layers.base import Layer
from layerforge.netdef.types import LayerDef, NetDef, Phase, StateRule
from layerforge.pictures.blocks import groups, spine
from layerforge.pictures.families import DATA, LOSS, family_of
from layerforge.pictures.words import clip, count_words, describe, rate_words, shape_words

LEARNING = ("Convolution", "Deconvolution", "InnerProduct")  # what Caffe's picture shows learning rates of
NAME_CLIP = 48


@dataclass(frozen=True)
class Facts:
    """What shape inference knows.

    shapes  blob name → shape
    counts  (layer name, type) → (numbers learned, parameter blobs); shared ones count where they are first used
    notes   (layer name, type) → a word more: the engine that runs the layer
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    counts: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    notes: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """One layer within a box."""

    name: str
    type: str
    words: str


@dataclass(frozen=True)
class Box:
    """A layer with the in-place layers that follow it.

    shape, count, lines  texts; "" and () where nothing is known
    group                the common beginning of names, "" for none
    """

    parts: tuple[Part, ...]
    title: str
    shape: str = ""
    count: str = ""
    lines: tuple[str, ...] = ()
    group: str = ""


@dataclass(frozen=True)
class Arrow:
    """A blob on its way, with its name where the box it comes from does not tell it."""

    source: int
    target: int
    blob: str
    label: str = ""


@dataclass(frozen=True)
class Diagram:
    """What is to be drawn; arrows name boxes by number.

    spine  the boxes that all data pass: they shall stand in a line
    """

    title: str
    subtitle: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    spine: tuple[int, ...] = ()

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that have boxes."""
        return tuple(dict.fromkeys(box.group for box in self.boxes if box.group))


def facts_of(
    graph: Graph, layers: Sequence[Layer], shapes: Sequence[tuple[int, ...]], notes: Sequence[str] = ()
) -> Facts:
    """Facts of a graph whose shapes are known: one layer for each node, one shape for each blob."""
    seen: set[int] = set()
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for node, layer in zip(graph.nodes, layers):
        own = [view.blob for k, view in enumerate(layer.blobs) if k not in layer.fixed]
        first = [blob for blob in own if id(blob.data) not in seen]
        seen.update(id(blob.data) for blob in first)
        counts[node.definition.name, node.definition.type] = sum(blob.count for blob in first), len(own)
    said = {(node.definition.name, node.definition.type): note for node, note in zip(graph.nodes, notes)}
    return Facts(dict(zip(graph.blobs, shapes)), counts, said)


def diagram_of(definition: NetDef, facts: Facts | None = None, *, learning_rates: bool = False) -> Diagram:
    """The diagram of a definition at any stage, filtered or not.

    learning_rates  shows lr_mult of the layers that learn
    """
    facts = facts or Facts()
    members, arrows = _fold(definition.layers)
    upright = spine(len(members), _main(definition, members, arrows))
    grouped = groups([definition.layers[each[0]].name for each in members], upright)
    boxes = [_box([definition.layers[i] for i in each], group, facts, learning_rates)
             for each, group in zip(members, grouped)]
    total = sum(count for count, _ in facts.counts.values())
    words = [f"{len(definition.layers)} layers"] + ([f"{total:,} parameters"] if total else [])
    return Diagram(definition.name or "net", " · ".join(words), tuple(boxes), tuple(arrows), tuple(upright))


def _fold(layers: Sequence[LayerDef]) -> tuple[list[list[int]], list[Arrow]]:
    """The layers of each box, and the arrows between boxes.

    A layer joins the box of its producer when it works in place and nobody read the blob before. Before phases are
    filtered a blob may have several producers, one per phase: an arrow comes from each.
    """
    members: list[list[int]] = []
    arrows: list[Arrow] = []
    producers: dict[str, list[int]] = {}
    tops: Counter[int] = Counter()
    read: set[str] = set()
    for index, layer in enumerate(layers):
        in_place = len(layer.bottoms) == 1 and layer.bottoms == layer.tops
        sources = producers.get(layer.bottoms[0], []) if in_place else []
        if len(sources) == 1 and layer.bottoms[0] not in read and tops[sources[0]] == 1:
            members[sources[0]].append(index)
            continue
        number = len(members)
        members.append([index])
        tops[number] = len(layer.tops)
        for bottom in layer.bottoms:
            read.add(bottom)
            for source in producers.get(bottom, ()):
                producer = layers[members[source][0]]
                if _phases(producer) & _phases(layer):
                    said = any(arrow.source == source and arrow.blob == bottom for arrow in arrows)
                    arrows.append(Arrow(source, number, bottom, "" if said else _label(bottom, producer)))
        for top in layer.tops:
            other_phase = top in producers and top not in layer.bottoms and (layer.include or layer.exclude)
            producers[top] = [*producers[top], number] if other_phase else [number]
            read.discard(top)
    return members, arrows


def _main(definition: NetDef, members: Sequence[Sequence[int]], arrows: Sequence[Arrow]) -> list[tuple[int, int]]:
    """The arrows without those that take labels to losses and metrics, which pass by the whole net."""
    families = [family_of(definition.layers[each[0]].type) for each in members]
    return [(arrow.source, arrow.target) for arrow in arrows
            if not (families[arrow.source] is DATA and families[arrow.target] is LOSS)]


def _phases(layer: LayerDef) -> set[Phase]:
    """The phases a layer may be in."""
    found = set(Phase) if layer.phase is None else {layer.phase}
    if layer.include:
        found &= {rule.phase for rule in layer.include if rule.phase is not None} or found
    plain = [rule for rule in layer.exclude if rule == StateRule(rule.phase, where=rule.where)]
    return found - {rule.phase for rule in plain if rule.phase is not None}


def _only(layer: LayerDef) -> str:
    """Its phase, where rules leave it one only."""
    phases = _phases(layer) if layer.phase is None and (layer.include or layer.exclude) else ()
    return "".join(f"only {phase.name}" for phase in phases) if len(phases) == 1 else ""


def _label(blob: str, producer: LayerDef) -> str:
    return clip(blob) if len(producer.tops) > 1 and producer.type != "Split" else ""


def _box(layers: Sequence[LayerDef], group: str, facts: Facts, learning_rates: bool) -> Box:
    first = layers[0]
    title = first.name.removeprefix(group).lstrip("/_") if group and first.name != group else first.name
    shapes = [shape_words(facts.shapes[top]) for top in first.tops[:1] if top in facts.shapes]
    count = sum(facts.counts.get((layer.name, layer.type), (0, 0))[0] for layer in layers)
    lines = []
    for layer in layers:
        blobs = facts.counts.get((layer.name, layer.type), (0, 1 + (len(layer.param) > 1)))[1]
        if learning_rates and (layer.type in LEARNING or layer.param):
            lines.append(rate_words(layer, blobs))
    lines += dict.fromkeys(note for layer in layers if (note := facts.notes.get((layer.name, layer.type), "")))
    lines += [_only(first)] if _only(first) else []
    parts = tuple(Part(layer.name, layer.type, f"{describe(layer)} {_only(layer) if k else ''}".rstrip())
                  for k, layer in enumerate(layers))
    return Box(parts, clip(title, NAME_CLIP), "".join(shapes), count_words(count) if count else "", tuple(lines), group)
