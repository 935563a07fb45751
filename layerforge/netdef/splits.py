"""Copies for blobs with several readers, under Caffe's names, so that gradients have one writer each."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from layerforge.netdef.types import LayerDef, NetDef

Source = tuple[int, int]  # (layer index, top index)


def insert_splits(definition: NetDef) -> NetDef:
    """Puts a Split layer `<blob>_<layer>_<top>_split` behind every top that is read more than once; its tops are that
    name with `_0`, `_1`, … in the order of the readers. A top with a loss weight counts as read, and the weight moves
    to copy 0.

    The definition must have passed `check`. Source: the naming rules of Caffe's insert_splits.cpp.
    """
    source_of, readers = _sources(definition)
    taken: dict[Source, int] = defaultdict(int)
    layers: list[LayerDef] = []
    for index, layer in enumerate(definition.layers):
        bottoms = list(layer.bottoms)
        for i, bottom in enumerate(layer.bottoms):
            source = source_of[index, i]
            if readers[source] > 1:
                bottoms[i] = f"{split_name(definition, source)}_{taken[source]}"
                taken[source] += 1
        split = [(index, i) for i in range(len(layer.tops)) if readers[index, i] > 1]
        weights = layer.loss_weight
        if any(i < len(weights) and weights[i] for _, i in split):
            layer = replace(layer, loss_weight=tuple(0.0 if (index, i) in split else w for i, w in enumerate(weights)))
        layers.append(replace(layer, bottoms=tuple(bottoms)))
        for source in split:
            weight = weights[source[1]] if source[1] < len(weights) else 0.0
            layers.append(_split_layer(definition, source, readers[source], weight))
            taken[source] = 1 if weight else 0
    return replace(definition, layers=tuple(layers))


def split_name(definition: NetDef, source: Source) -> str:
    """The name of the Split layer of a top."""
    layer = definition.layers[source[0]]
    return f"{layer.tops[source[1]]}_{layer.name}_{source[1]}_split"


def _sources(definition: NetDef) -> tuple[dict[tuple[int, int], Source], dict[Source, int]]:
    """Which top each bottom reads, and how often each top is read."""
    last: dict[str, Source] = {}
    source_of: dict[tuple[int, int], Source] = {}
    readers: dict[Source, int] = defaultdict(int)
    for index, layer in enumerate(definition.layers):
        for i, bottom in enumerate(layer.bottoms):
            source_of[index, i] = last[bottom]
            readers[last[bottom]] += 1
        for i, top in enumerate(layer.tops):
            last[top] = (index, i)
            if i < len(layer.loss_weight) and layer.loss_weight[i]:
                readers[index, i] += 1
    return source_of, readers


def _split_layer(definition: NetDef, source: Source, count: int, weight: float) -> LayerDef:
    layer, name = definition.layers[source[0]], split_name(definition, source)
    return LayerDef(
        name,
        "Split",
        (layer.tops[source[1]],),
        tuple(f"{name}_{k}" for k in range(count)),
        phase=layer.phase,
        where=layer.where,
        loss_weight=(weight,) + (0.0,) * (count - 1) if weight else (),
    )
