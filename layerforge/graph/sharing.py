"""Parameters with one name are one blob: data and gradient of the first layer that names it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from layerforge.core.blob import Blob
from layerforge.core.errors import NetError
from layerforge.graph.wire import Graph
from layerforge.layers.base import Layer
from layerforge.netdef.types import ParamSpec


@dataclass(frozen=True)
class Learnable:
    """One parameter blob, however many layers share it.

    name      "conv1.0": owner layer and index
    layer     the owner's number
    lr_mult, decay_mult   1 unless said by the owner or a sharer
    """

    blob: Blob
    name: str
    layer: int
    lr_mult: float = 1.0
    decay_mult: float = 1.0
    said: ParamSpec = ParamSpec()


def share_parameters(graph: Graph, layers: Sequence[Layer]) -> tuple[Learnable, ...]:
    """Makes sharers use their owner's storage; returns every parameter once, in order of first use.

    Raises NetError when shapes (STRICT) or counts (PERMISSIVE) differ, multipliers contradict, or a layer has more
    `param` entries than parameters.
    """
    found: list[Learnable] = []
    owner_of: dict[str, int] = {}
    for index, (node, layer) in enumerate(zip(graph.nodes, layers)):
        specs = node.definition.param
        if len(specs) > len(layer.blobs):
            raise NetError(
                f"{node.definition}: has {len(specs)} param entries for {len(layer.blobs)} parameters",
                where=specs[len(layer.blobs)].where or node.definition.where,
            )
        for k, view in enumerate(layer.blobs):
            spec = specs[k] if k < len(specs) else ParamSpec()
            if spec.name and spec.name in owner_of:
                at = owner_of[spec.name]
                found[at] = _share(found[at], view.blob, spec, str(node.definition))
                continue
            if spec.name:
                owner_of[spec.name] = len(found)
            lr, decay = (0.0, 0.0) if k in layer.fixed else (_or_one(spec.lr_mult), _or_one(spec.decay_mult))
            found.append(Learnable(view.blob, f"{node.definition.name}.{k}", index, lr, decay, spec))
    return tuple(found)


def _or_one(value: float | None) -> float:
    return 1.0 if value is None else value


def _share(owner: Learnable, blob: Blob, spec: ParamSpec, sharer: str) -> Learnable:
    permissive = spec.share_mode == "PERMISSIVE"
    if blob.count != owner.blob.count or (not permissive and blob.shape != owner.blob.shape):
        raise NetError(
            f"{sharer}: parameter {spec.name!r} has the shape {blob.shape}, "
            f"its owner {owner.name} has {owner.blob.shape}",
            where=spec.where,
            hint=None if permissive else "share_mode: PERMISSIVE compares only the counts",
        )
    for what in ("lr_mult", "decay_mult"):
        mine, theirs = getattr(spec, what), getattr(owner.said, what)
        if mine is not None and theirs is not None and mine != theirs:
            raise NetError(
                f"{sharer}: parameter {spec.name!r} has {what} {mine:g}, its owner {owner.name} says {theirs:g}",
                where=spec.where,
            )
        if mine is not None:
            owner = replace(owner, **{what: mine}, said=replace(owner.said, **{what: mine}))
    blob.share_data(owner.blob)
    blob.share_diff(owner.blob)
    return owner
