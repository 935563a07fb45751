"""Shape inference: layers are made and reshape runs on blobs that have no memory yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from layerforge.core.blob import Blob
from layerforge.core.errors import LayerForgeError
from layerforge.core.random import Random
from layerforge.core.workspace import Workspace
from layerforge.graph.step import LayerStep
from layerforge.graph.wire import Graph
from layerforge.layers.base import Layer
from layerforge.netdef.types import Phase


@dataclass(frozen=True)
class Shaped:
    """The graph's layers with their parameters, and its blobs with their shapes. No memory is held."""

    steps: tuple[LayerStep, ...]
    blobs: tuple[Blob, ...]
    workspace: Workspace

    @property
    def layers(self) -> Sequence[Layer]:
        return [step.layer for step in self.steps]


def infer_shapes(graph: Graph, phase: Phase, *, backend: Any, rng: Random, dtype: Any, folder: str) -> Shaped:
    """Makes every layer and runs setup and reshape in order.

    Raises what the layers raise; an error without a place gets the layer's.
    """
    blobs = tuple(Blob((), dtype, name) for name in graph.blobs)
    workspace = Workspace(backend.representation)
    steps: list[LayerStep] = []
    seen: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        name = node.definition.name
        seen[name] = seen.get(name, 0) + 1
        stream = name if seen[name] == 1 else f"{name}#{seen[name]}"  # names may repeat, draws may not
        try:
            layer = node.layer_class(
                node.definition,
                backend=backend,
                rng=rng.child(stream),
                phase=node.definition.phase or phase,
                dtype=dtype,
                workspace=workspace,
                folder=folder,
            )
            step = LayerStep(index, layer, [blobs[i] for i in node.bottoms], [blobs[i] for i in node.tops])
            step.setup()
        except LayerForgeError as error:
            if error.where is None:
                error.where = node.definition.where
            raise
        steps.append(step)
    return Shaped(tuple(steps), blobs, workspace)
