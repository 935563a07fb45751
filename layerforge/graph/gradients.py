"""Which gradients a net computes, by Caffe's rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layerforge.core.errors import NetError
from layerforge.graph.wire import Graph
from layerforge.layers.base import Layer
from layerforge.netdef.types import LayerDef


@dataclass(frozen=True)
class Gradients:
    """Per layer: whether it runs backward, which bottoms get a gradient, which parameters do.

    loss_weights  per layer and top
    """

    layers: tuple[bool, ...]
    bottoms: tuple[tuple[bool, ...], ...]
    parameters: tuple[tuple[bool, ...], ...]
    loss_weights: tuple[tuple[float, ...], ...]

    def none(self) -> Gradients:
        """The same net, which computes no gradient."""
        bottoms, parameters = (tuple((False,) * len(row) for row in rows) for rows in (self.bottoms, self.parameters))
        return Gradients((False,) * len(self.layers), bottoms, parameters, self.loss_weights)


def plan_gradients(graph: Graph, layers: Sequence[Layer], force_backward: bool = False) -> Gradients:
    """A bottom gets a gradient if something below it learns and a loss lies above it; propagate_down has the last word.

    force_backward  every bottom that can have a gradient gets one, and every parameter
    """
    weights = tuple(_loss_weights(node.definition, len(node.tops), layer) for node, layer in zip(graph.nodes, layers))
    runs, bottoms, parameters = _upwards(graph, layers)
    _downwards(graph, weights, runs, bottoms)
    if force_backward:
        for i, layer in enumerate(layers):
            runs[i] = True
            bottoms[i] = [want or k not in layer.no_gradient for k, want in enumerate(bottoms[i])]
            parameters[i] = [k not in layer.fixed for k in range(len(parameters[i]))]
    return Gradients(tuple(runs), tuple(map(tuple, bottoms)), tuple(map(tuple, parameters)), weights)


def _upwards(graph: Graph, layers: Sequence[Layer]) -> tuple[list[bool], list[list[bool]], list[list[bool]]]:
    """From the data on: what lies above something that learns."""
    blob_needs = [False] * len(graph.blobs)
    runs, bottoms, parameters = [], [], []
    for node, layer in zip(graph.nodes, layers):
        said = node.definition.propagate_down
        bottoms.append([said[k] if said else blob_needs[b] for k, b in enumerate(node.bottoms)])
        parameters.append([k not in layer.fixed and lr_mult(node.definition, k) != 0 for k in range(len(layer.blobs))])
        runs.append(any(bottoms[-1]) or any(parameters[-1]))
        for top in node.tops:
            blob_needs[top] = blob_needs[top] or runs[-1]
    return runs, bottoms, parameters


def _downwards(graph: Graph, weights: Sequence[Sequence[float]], runs: list[bool], bottoms: list[list[bool]]) -> None:
    """From the losses down: what no loss depends on, or what lies under a cut only, does not run backward."""
    under_loss: set[int] = set()
    cut: set[int] = set()
    for i in reversed(range(len(graph.nodes))):
        node = graph.nodes[i]
        contributes = any(w or top in under_loss for w, top in zip(weights[i], node.tops))
        if runs[i] and all(top in cut for top in node.tops):
            runs[i] = False
            bottoms[i] = [False] * len(bottoms[i])
        if not contributes:
            runs[i] = False
            bottoms[i] = [False] * len(bottoms[i])
        else:
            under_loss.update(node.bottoms)
        cut.update(b for b, want in zip(node.bottoms, bottoms[i]) if not want)


def _loss_weights(definition: LayerDef, tops: int, layer: Layer) -> tuple[float, ...]:
    """One for each top, also those without a name.

    Raises NetError for another number of them in the text than there are tops.
    """
    if len(definition.loss_weight) not in (0, tops):
        raise NetError(
            f"{definition}: {len(definition.loss_weight)} values of loss_weight for {tops} tops",
            where=definition.place("loss_weight[0]"),
            hint="give one value per top, 0 for tops that are no loss, or none at all",
        )
    said = definition.loss_weight or ((1.0,) if layer.loss else ())
    return tuple(said) + (0.0,) * (tops - len(said))


def lr_mult(definition: LayerDef, index: int) -> float:
    """The learning-rate multiplier of a layer's parameter; 1 unless said."""
    said = definition.param[index].lr_mult if index < len(definition.param) else None
    return 1.0 if said is None else said
