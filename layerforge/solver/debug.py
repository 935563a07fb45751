"""Looking into a net while it runs: debug_info, and the layer where a number stopped being finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from layerforge.core.errors import NetError
from layerforge.core.storage import HOST, Storage
from layerforge.layers.base import Layer
from layerforge.net.net import Net

Say = Callable[[str, str], None]


def mean_magnitude(storage: Storage) -> float:
    """Σ |x| / count"""
    return float(np.abs(storage.array(HOST)).mean()) if storage.count else 0.0


def forward_with_info(net: Net, say: Say) -> float:
    """Forward, layer by layer, with the mean magnitude of each top and parameter; returns the loss."""
    loss = 0.0
    for i, layer in enumerate(net.layers):
        loss += net.forward_from_to(i, i)
        for top in net.graph.nodes[i].tops:
            name = net.graph.blobs[top]
            say(_row("Forward", layer, f"top blob {name}", "data", net.blob_list[top].data), "net.cpp:593")
        for k, view in enumerate(layer.blobs):
            say(_row("Forward", layer, f"param blob {k}", "data", view.blob.data), "net.cpp:605")
    return loss


def backward_with_info(net: Net, say: Say) -> None:
    """Backward, layer by layer, with the mean magnitude of each gradient, then the norms of all parameters."""
    for i in reversed(range(len(net.layers))):
        net.backward_from_to(i, i)
        if not net.gradients.layers[i]:
            continue
        layer = net.layers[i]
        for bottom, wanted in zip(net.graph.nodes[i].bottoms, net.gradients.bottoms[i]):
            if wanted:
                name = net.graph.blobs[bottom]
                say(_row("Backward", layer, f"bottom blob {name}", "diff", net.blob_list[bottom].diff), "net.cpp:621")
        for k, view in enumerate(layer.blobs):
            if layer.needs_gradient[k]:
                say(_row("Backward", layer, f"param blob {k}", "diff", view.blob.diff), "net.cpp:632")
    say(_norms(net), "net.cpp:721")


def _row(direction: str, layer: Layer, what: str, kind: str, storage: Storage) -> str:
    """Caffe's words, padded so that the numbers of neighbouring lines stand below one another."""
    return f"    {f'[{direction}] Layer {layer.name}, {what}':<64} {kind}: {mean_magnitude(storage):g}"


def _norms(net: Net) -> str:
    """Caffe's closing line."""
    pairs = [(each.blob.data.array(HOST), each.blob.diff.array(HOST)) for each in net.learnable]
    first = [sum(float(np.abs(arrays[k]).sum()) for arrays in pairs) for k in (0, 1)]
    second = [math.sqrt(sum(float(np.dot(arrays[k], arrays[k])) for arrays in pairs)) for k in (0, 1)]
    return (f"    [Backward] All net params (data, diff): L1 norm = ({first[0]:g}, {first[1]:g}); "
            f"L2 norm = ({second[0]:g}, {second[1]:g})")


def not_finite(net: Net, iteration: int, loss: float) -> NetError:
    """The error for a loss that is NaN or infinite, with the layer where the first such number stands."""
    if net.memory.packs:  # most blobs are gone: the layers behind the data run again, and keep theirs
        for i, node in enumerate(net.graph.nodes):
            if node.bottoms:
                net.forward_from_to(i, i)
    found = next(_culprits(net), None)
    where = None
    message = f"iteration {iteration}: the loss is {loss}"
    if found:
        index, what = found
        definition = net.layers[index].definition
        message, where = f"{message}; the first number that is not finite is in {definition}: {what}", definition.where
    return NetError(message, where=where,
                    hint="lower base_lr, set clip_gradients, or look at this layer's data; --allow-nan goes on anyway")


def spoilt_parameter(net: Net, iteration: int) -> NetError | None:
    """The error for a parameter that is NaN or infinite. A ReLU may hide it from the loss: oneDNN's makes NaN zero."""
    for each in net.learnable:
        values = each.blob.data.array(each.blob.data.home)
        if math.isfinite(float(values.sum())) or _finite(each.blob.data):
            continue
        definition = net.layers[each.layer].definition
        what = f"{definition}: parameter {each.name.rpartition('.')[2]}"
        return NetError(f"iteration {iteration}: there are numbers that are not finite in {what}",
                        where=definition.where, hint="lower base_lr, or set clip_gradients; --allow-nan goes on anyway")
    return None


def _culprits(net: Net) -> Iterator[tuple[int, str]]:
    """(layer number, parameter or blob) in the order the layers ran."""
    for i, layer in enumerate(net.layers):
        for k, view in enumerate(layer.blobs):
            if not _finite(view.blob.data):
                yield i, f"parameter {k}"
        for top in net.graph.nodes[i].tops:
            if not _finite(net.blob_list[top].data):
                yield i, f"blob {net.graph.blobs[top]!r}"


def _finite(storage: Storage) -> bool:
    return bool(np.isfinite(storage.array(HOST)).all())
