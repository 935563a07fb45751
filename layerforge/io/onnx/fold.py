"""Folds BatchNorm and Scale into the weights of the convolution or inner product below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from layerforge.graph.wire import Graph
from layerforge.io.onnx.graph import Call
from layerforge.io.onnx.normalisation import kept_statistics

_BELOW = ("Convolution", "DepthwiseConvolution", "ConvolutionDepthwise", "Deconvolution", "InnerProduct")


@dataclass
class Folded:
    """blobs  layer number → its weights with what was folded in;  gone  the numbers of layers that are no more"""

    blobs: dict[int, tuple[np.ndarray, ...]] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)


def fold(graph: Graph, calls: Sequence[Call | None], wanted: set[int]) -> Folded:
    """What folds. `calls` holds the layers that are exported, `wanted` the blobs that must keep their values."""
    made = Folded()
    for i, call in enumerate(calls):
        if call is None or call.layer.type not in _BELOW or len(call.tops) != 1 or i in made.gone:
            continue
        above, top = i, graph.nodes[i].tops[0]
        while True:
            above = _reader(graph, above, top)
            upper = calls[above] if above >= 0 else None
            if upper is None or (top in wanted and graph.nodes[above].tops[0] != top):
                break
            pair = _factor_and_offset(upper, call)
            if pair is None:
                break
            call = replace(call, blobs=_multiplied(call, *pair))
            made.blobs[i] = call.blobs
            made.gone.add(above)
            top = graph.nodes[above].tops[0]
    return made


def _reader(graph: Graph, index: int, blob: int) -> int:
    """The layer that reads the blob next; splits see to it that there is at most one. -1: none."""
    return next((j for j in range(index + 1, len(graph.nodes)) if blob in graph.nodes[j].bottoms), -1)


def _factor_and_offset(upper: Call, lower: Call) -> tuple[np.ndarray, np.ndarray] | None:
    """y = factor · x + offset per channel, float64; None when the upper layer is nothing of the kind."""
    layer, channels = upper.layer, lower.params.num_output
    if len(upper.x) > 1 or len(upper.bottoms[0]) < 2 or upper.bottoms[0][1] != channels or _axis(lower) != 1:
        return None
    if layer.type in ("BatchNorm", "BN") and layer.kept_statistics:
        mean, variance, gamma, beta, eps = (np.asarray(each, np.float64) for each in kept_statistics(upper))
        factor = gamma / np.sqrt(variance + eps)
        return factor, beta - mean * factor
    if layer.type in ("Scale", "Bias") and upper.blobs[0].shape == (channels,):
        if layer.axis(upper.params.axis, len(upper.bottoms[0])) != 1:
            return None
        first = upper.blobs[0].astype(np.float64)
        if layer.type == "Bias":
            return np.ones_like(first), first
        return first, upper.blobs[1].astype(np.float64) if len(upper.blobs) > 1 else np.zeros_like(first)
    return None


def _axis(lower: Call) -> int:
    """The axis of the outputs in the top."""
    return int(lower.layer.first)


def _multiplied(call: Call, factor: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, ...]:
    """W and b that give factor · y + offset."""
    W, layer = call.blobs[0].astype(np.float64), call.layer
    b = call.blobs[1].astype(np.float64) if len(call.blobs) > 1 else 0.0
    if layer.type == "Deconvolution":  # (C, O/g, *kernel): the outputs of a group lie with its inputs
        groups = layer.groups()
        apart = W.reshape(groups, W.shape[0] // groups, *W.shape[1:])
        W = (apart * factor.reshape(groups, 1, -1, *(1,) * (W.ndim - 2))).reshape(W.shape)
    elif layer.type == "InnerProduct" and call.params.transpose:
        W = W * factor
    else:
        W = W * factor.reshape(-1, *(1,) * (W.ndim - 1))
    return W.astype(np.float32), (b * factor + offset).astype(np.float32)
