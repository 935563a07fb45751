"""A net after each pass of its pipeline, as text: what `draw --after` prints."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from layerforge.cli.draw import STAGES
from layerforge.cli.report import Table
from layerforge.core.errors import LayerForgeError
from layerforge.graph.wire import Graph, wire
from layerforge.net.build import build_net
from layerforge.net.net import Net
from layerforge.netdef.check import check
from layerforge.netdef.filter import filter_net
from layerforge.netdef.splits import insert_splits
from layerforge.netdef.types import NetDef, NetState, Phase
from layerforge.pictures.diagram import Facts, facts_of
from layerforge.schema.write import net_text


@dataclass(frozen=True)
class Reached:
    """A net at a stage.

    definition  what a picture shows
    text        what is printed
    facts       shapes and counts for a picture, as far as they can be known
    problem     why shapes cannot be known, or None
    """

    definition: NetDef
    text: str
    facts: Facts
    problem: LayerForgeError | None = None


def reach(definition: NetDef, stage: str, phase: Phase | None, level: int = 0, stages: tuple[str, ...] = ()) -> Reached:
    """Runs the pipeline up to a stage. Without a phase, stages behind `read` are those of the test net.

    Raises LayerForgeError where a pass up to the stage fails; shapes of an earlier stage are left out then.
    """
    state = NetState(Phase.TEST if phase is None else phase, level or definition.state.level,
                     definition.state.stages + stages)
    shown = definition if stage == "read" else check(filter_net(definition, state))
    if STAGES.index(stage) >= STAGES.index("split"):
        shown = insert_splits(shown)
    several_phases = any(layer.include or layer.exclude for layer in shown.layers) and stage == "read"
    text = net_text(shown) if stage in ("read", "filter", "split") else ""
    if several_phases:
        return Reached(shown, text, Facts())
    if stage == "wire":
        text = _wiring(wire(shown))
    try:
        net = build_net(definition, state.phase, level=level, stages=stages)
    except LayerForgeError as problem:
        if STAGES.index(stage) > STAGES.index("wire"):
            raise
        return Reached(shown, text, Facts(), problem)
    with contextlib.closing(net):
        if stage in _TABLES:
            text = _TABLES[stage](net)
        return Reached(shown, text, _facts(net, stage))


def _facts(net: Net, stage: str) -> Facts:
    notes = [step.engine for step in net.steps for _ in step.layers] if stage == "plan" else []
    return facts_of(net.graph, net.layers, [blob.shape for blob in net.blob_list], notes)


def _row(graph: Graph, index: int, *more: str) -> tuple[str, ...]:
    node = graph.nodes[index]
    return (str(index), node.definition.name, node.definition.type, *more)


def _named(graph: Graph, blobs: tuple[int, ...]) -> str:
    return ", ".join(f"{b} {graph.blobs[b]}" for b in blobs) or "-"


def _wiring(graph: Graph) -> str:
    rows = [_row(graph, i, _named(graph, node.bottoms), _named(graph, node.tops)) for i, node in enumerate(graph.nodes)]
    ends = (f"inputs   {_named(graph, graph.inputs)}", f"outputs  {_named(graph, graph.outputs)}")
    return "\n".join([str(Table("", ("", "layer", "type", "bottoms", "tops"), rows)), *ends])


def _shapes(net: Net) -> str:
    rows = []
    for i, (node, layer) in enumerate(zip(net.graph.nodes, net.layers)):
        tops = ", ".join(f"{net.graph.blobs[t]} {net.blob_list[t].shape}" for t in node.tops)
        blobs = ", ".join(str(view.shape) for view in layer.blobs)
        rows.append(_row(net.graph, i, tops or "-", blobs or "-"))
    return str(Table("", ("", "layer", "type", "tops", "parameters"), rows))


def _gradients(net: Net) -> str:
    def marks(wanted: tuple[bool, ...]) -> str:
        return " ".join("yes" if each else "no" for each in wanted) or "-"

    found = net.gradients
    rows = [_row(net.graph, i, marks((runs,)), marks(bottoms), marks(blobs), " ".join(f"{w:g}" for w in weights) or "-")
            for i, (runs, bottoms, blobs, weights) in enumerate(
                zip(found.layers, found.bottoms, found.parameters, found.loss_weights))]
    return str(Table("", ("", "layer", "type", "runs backward", "bottoms", "parameters", "loss weights"), rows))


def _sharing(net: Net) -> str:
    users: dict[int, list[str]] = {}
    for name, layer in zip(net.layer_names, net.layers):
        for k, view in enumerate(layer.blobs):
            users.setdefault(id(view.blob.data), []).append(f"{name}.{k}")
    rows = [(each.name, str(each.blob.shape), f"{each.lr_mult:g}", f"{each.decay_mult:g}",
             ", ".join(users[id(each.blob.data)][1:]) or "-") for each in net.learnable]
    return str(Table("", ("parameter", "shape", "lr_mult", "decay_mult", "shared by"), rows))


def _plan(net: Net) -> str:
    rows = [(str(i), step.engine, ", ".join(net.layer_names[k] for k in step.layers))
            for i, step in enumerate(net.steps)]
    return str(Table("", ("step", "engine", "layers"), rows))


_TABLES: dict[str, Callable[[Net], str]] = {
    "shapes": _shapes, "gradients": _gradients, "sharing": _sharing, "plan": _plan,
}
