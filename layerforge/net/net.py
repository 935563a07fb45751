"""Net: walks the plan forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.random import Random
from layerforge.core.storage import HOST
from layerforge.graph.gradients import Gradients
from layerforge.graph.lower import Plan
from layerforge.graph.shapes import Shaped
from layerforge.graph.sharing import Learnable
from layerforge.graph.step import Step
from layerforge.graph.wire import Graph
from layerforge.layers.base import Layer
from layerforge.netdef.types import NetDef, Phase

Hook = Callable[[int], None]


class Net:
    """A net that runs. `build_net` makes one.

    blobs       name → Blob, in order of making
    params      layer name → its parameter blobs (layers that have some; of repeated names the last)
    learnable   every parameter once, with its multipliers
    inputs, outputs   blob names: tops of Input layers; blobs nobody reads
    hooks       "before_forward", "after_forward", "before_backward", "after_backward" → functions of the layer number
    """

    def __init__(
        self, definition: NetDef, phase: Phase, graph: Graph, shaped: Shaped, gradients: Gradients,
        learnable: tuple[Learnable, ...], plan: Plan, backend: Any, rng: Random | None, keep: str,
    ) -> None:
        self.definition, self.phase, self.graph, self.plan = definition, phase, graph, plan
        self.backend, self.rng, self.keep = backend, rng, keep
        self.name = definition.name
        self.layers: list[Layer] = list(shaped.layers)
        self.layer_names = [node.definition.name for node in graph.nodes]
        self.blob_list = list(shaped.blobs)
        self.blobs: dict[str, Blob] = dict(zip(graph.blobs, shaped.blobs))
        self.params: dict[str, list[Blob]] = {
            name: [view.blob for view in layer.blobs] for name, layer in zip(self.layer_names, self.layers) if layer.blobs
        }
        self.learnable = learnable
        self.inputs = [graph.blobs[i] for i in graph.inputs]
        self.outputs = [graph.blobs[i] for i in graph.outputs]
        self.gradients = gradients
        self.workspace = shaped.workspace
        self.hooks: dict[str, list[Hook]] = {
            "before_forward": [], "after_forward": [], "before_backward": [], "after_backward": []
        }
        self._steps: list[Step] = list(plan.steps)
        self._losses = [
            [(shaped.blobs[blob], w) for i in step.layers for blob, w in zip(graph.nodes[i].tops, gradients.loss_weights[i]) if w]
            for step in self._steps
        ]
        for pairs in self._losses:
            for blob, weight in pairs:
                blob.diff.initial = _filled(blob, weight)
        self._loss_counts = {id(blob): blob.count for pairs in self._losses for blob, _ in pairs}

    @property
    def steps(self) -> Sequence[Step]:
        """What runs, in order."""
        return self._steps

    @property
    def loss_weights(self) -> dict[str, float]:
        """Blob name → the weight it has in the loss; 0 for blobs that are no loss."""
        weights = dict.fromkeys(self.blobs, 0.0)
        for node, row in zip(self.graph.nodes, self.gradients.loss_weights):
            weights.update({self.graph.blobs[top]: w for top, w in zip(node.tops, row)})
        return weights

    def forward(self) -> float:
        """Runs every layer; returns the loss, Σ weight · Σ top over the tops with a loss weight."""
        return self.forward_from_to(0, len(self.layers) - 1)

    @np.errstate(all="ignore")  # NaN and infinity are values; a loss that has them is seen by who watches it
    def forward_from_to(self, start: int, end: int) -> float:
        """Runs the layers start … end, both included."""
        loss = 0.0
        for step, losses in zip(self._steps, self._losses):
            if step.layers[0] < start or step.layers[-1] > end:
                continue
            self._run("before_forward", step)
            step.forward()
            for blob, weight in losses:
                loss += weight * float(blob.data.array(HOST).sum())
            self._run("after_forward", step)
        return loss

    def backward(self) -> None:
        """Runs every layer that has a gradient to compute, last first. Parameter gradients add up until they are cleared."""
        self.backward_from_to(len(self.layers) - 1, 0)

    @np.errstate(all="ignore")
    def backward_from_to(self, start: int, end: int) -> None:
        """Runs the layers start … end downwards, both included."""
        for step, losses in zip(reversed(self._steps), reversed(self._losses)):
            if step.layers[-1] > start or step.layers[0] < end:
                continue
            self._run("before_backward", step)
            if any(self.gradients.layers[i] for i in step.layers):
                for blob, weight in losses:
                    self._refill(blob, weight)
                step.backward()
            self._run("after_backward", step)

    def clear_gradients(self) -> None:
        """Sets the gradients of all parameters to zero."""
        for each in self.learnable:
            each.blob.diff.clear()

    def reshape(self) -> None:
        """Gives every blob the shape that follows from the inputs' shapes."""
        for step in self._steps:
            step.reshape()

    def layer(self, name: str) -> Layer:
        """The layer of this name (of repeated names the last)."""
        return self.layers[len(self.layer_names) - 1 - self.layer_names[::-1].index(name)]

    def close(self) -> None:
        """Ends data workers. A net without sources needs no closing."""
        for layer in self.layers:
            layer.close()

    def _run(self, when: str, step: Step) -> None:
        for hook in self.hooks[when]:
            for index in step.layers:
                hook(index)

    def _refill(self, blob: Blob, weight: float) -> None:
        """A loss top that changed its count gets its weights again; one that kept it keeps what a user may have put there."""
        if self._loss_counts[id(blob)] != blob.count:
            blob.diff.claim(HOST)[...] = weight
            self._loss_counts[id(blob)] = blob.count


def _filled(blob: Blob, weight: float) -> Callable[[], np.ndarray]:
    return lambda: np.full(blob.count, weight, blob.dtype)
