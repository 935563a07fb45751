"""The figures of a net, from shapes alone: parameters and multiply-accumulates, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from layerforge.core.blob import Blob
from layerforge.graph.wire import Graph
from layerforge.layers.base import Layer

Shapes = Sequence[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class LayerFigures:
    """What one layer holds and computes.

    tops        the shapes of its tops
    parameters  learned values, those shared with an earlier layer left out
    statistics  values that forward keeps: BatchNorm's means and variances
    macs        multiply-accumulates of one forward pass over the whole batch; offsets, normalization and activation
                are not counted
    """

    name: str
    type: str
    tops: tuple[tuple[int, ...], ...]
    parameters: int
    statistics: int
    macs: int


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums over all layers."""

    parameters: int
    statistics: int
    macs: int


def layer_figures(graph: Graph, layers: Sequence[Layer], blobs: Sequence[Blob]) -> list[LayerFigures]:
    """A row per layer, in order, without touching memory.

    Of a Net: `layer_figures(net.graph, net.layers, net.blob_list)`.
    """
    seen: set[int] = set()
    rows = []
    for node, layer in zip(graph.nodes, layers):
        learned = kept = 0
        for k, view in enumerate(layer.blobs):
            storage = id(view.blob.data)
            if storage in seen:
                continue
            seen.add(storage)
            learned += 0 if k in layer.fixed else view.blob.count
            kept += view.blob.count if k in layer.fixed else 0
        bottoms, tops = ([blobs[i].shape for i in numbers] for numbers in (node.bottoms, node.tops))
        name, kind = node.definition.name, node.definition.type
        rows.append(LayerFigures(name, kind, tuple(tops), learned, kept, macs(layer, bottoms, tops)))
    return rows


def totals(rows: Iterable[LayerFigures]) -> Totals:
    """The sums of the rows."""
    rows = list(rows)
    return Totals(sum(r.parameters for r in rows), sum(r.statistics for r in rows), sum(r.macs for r in rows))


def macs(layer: Layer, bottoms: Shapes, tops: Shapes) -> int:
    """Multiply-accumulates of one forward pass. Types that are no product of matrices count as 0."""
    rule = _RULES.get(type(layer).type)
    return 0 if rule is None else rule(layer, bottoms, tops)


def is_product(layer: Layer) -> bool:
    """Whether the layer is a product of matrices, whose operations `macs` counts."""
    return type(layer).type in _RULES


def _convolution(layer: Any, bottoms: Shapes, tops: Shapes) -> int:
    """Each output value sums over a kernel of C/group channels: the weights of one output channel."""
    return sum(math.prod(top) for top in tops) * (layer.W.count() // layer.W.shape[0])


def _deconvolution(layer: Any, bottoms: Shapes, tops: Shapes) -> int:
    """Each input value is spread over a kernel of O/group channels: the weights of one input channel."""
    return sum(math.prod(bottom) for bottom in bottoms) * (layer.W.count() // layer.W.shape[0])


def _inner_product(layer: Any, bottoms: Shapes, tops: Shapes) -> int:
    """Each input value meets every output of its row."""
    return math.prod(bottoms[0]) * layer.params.num_output


def _recurrent(layer: Any, bottoms: Shapes, tops: Shapes) -> int:
    """Every weight once a step and stream; those of the static input once a stream."""
    steps, streams = bottoms[0][:2]
    every = sum(view.count() for view in layer.blobs if len(view.shape) == 2)
    static = layer.Ws.count() if layer.Ws else 0
    return streams * (steps * (every - static) + static)


def _matmul(layer: Any, bottoms: Shapes, tops: Shapes) -> int:
    """Each output value sums over K products."""
    return math.prod(tops[0]) * bottoms[0][-2 if layer.params.transpose_a else -1]


def _gemm(layer: Any, bottoms: Shapes, tops: Shapes) -> int:
    return math.prod(tops[0]) * bottoms[0][0 if layer.params.transA else 1]


_RULES: dict[str, Callable[[Any, Shapes, Shapes], int]] = {
    "Convolution": _convolution, "DepthwiseConvolution": _convolution, "Deconvolution": _deconvolution,
    "InnerProduct": _inner_product, "MatMul": _matmul, "Gemm": _gemm,
    "RNN": _recurrent, "LSTM": _recurrent, "GRU": _recurrent,
}
