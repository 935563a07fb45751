"""The passes of a net, as recordings where the backend can record."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.storage import HOST, Storage
from layerforge.graph.step import Step
from layerforge.net.fitting import saying_what_fits
from layerforge.net.net import Net
from layerforge.net.recorded import Recorded

log = logging.getLogger("layerforge")

HOST_WORK = "works on the host"
CHANGING = "has shapes that are known only while it runs"


def uncaptured(step: Step) -> str:
    """Why a step cannot be part of a recording, "" if it can."""
    layer: Any = getattr(step, "layer", None)
    if layer is None:
        return str(getattr(step, "uncaptured_reason", ""))
    if not layer.captured:
        return str(layer.uncaptured_reason)
    if layer.arrays == "host":
        return HOST_WORK
    return CHANGING if layer.dynamic else ""


def recorded_from(net: Net) -> tuple[int, str]:
    """The first step that is recorded, and why nothing is ("" if it is).

    What comes before the last layer on the host runs step by step: data layers and what they feed. Nothing that learns
    or has a gradient may be among it.
    """
    reasons = {i: why for i, step in enumerate(net.steps) if (why := uncaptured(step))}
    if not reasons:
        return 0, ""
    last = max(reasons)
    for step in net.steps[: last + 1]:
        for index in step.layers:
            if net.gradients.layers[index] or net.layers[index].blobs:
                return 0, f"{net.layers[net.steps[last].layers[0]].definition} {reasons[last]}"
    return last + 1, "" if last + 1 < len(net.steps) else "all layers work on the host"


class Passes:
    """`forward` and `forward_backward` of a net: what the net's own methods do, and the loss they give.

    Where a layer on the host is in the way, or hooks are set, the net runs step by step; `reasons` says so.
    """

    def __init__(self, net: Net) -> None:
        self.net = net
        self.first, refusal = recorded_from(net)
        recorder = getattr(net.backend, "recorder", None)
        if recorder is None:
            refusal = f"the backend {net.backend.name} records nothing"
        name = f" of {net.name!r}" if net.name else ""
        if recorder is not None and refusal:
            log.warning("the passes%s are not recorded as CUDA graphs: %s", name, refusal)
        self._forward, self._both = (
            Recorded(recorder, run, self.storages, net.rng, what=f"the {kind} pass{name}", reason=refusal,
                     places=lambda: net.workspace.generation)
            for run, kind in ((self._up, "forward"), (self.work, "training"))
        )
        begin = net.steps[self.first].layers[0] if net.steps else 0
        self._losses = [
            (net.blobs[net.graph.blobs[top]], weight)
            for node, weights in zip(net.graph.nodes[begin:], net.gradients.loss_weights[begin:])
            for top, weight in zip(node.tops, weights) if weight
        ]
        made = {i for node in net.graph.nodes[:begin] for i in node.tops} | set(net.graph.inputs)
        self._inputs = sorted(made & {i for node in net.graph.nodes[begin:] for i in node.bottoms})

    @property
    def reasons(self) -> list[str]:
        """Why passes are not recorded; empty while they are, or may yet be."""
        return list(dict.fromkeys(each.reason for each in (self._both, self._forward) if each.reason))

    @property
    def launches(self) -> int:
        """How often a recording ran."""
        return self._both.launches + self._forward.launches

    def forward(self) -> float:
        """Runs every layer; returns the loss. A full device is an error that says which batch would fit."""
        with saying_what_fits(self.net):
            return self.net.forward() if self._stepwise(self._forward) else self._run(self._forward)

    def forward_backward(self) -> float:
        """Runs every layer, then backward those that have a gradient to compute; returns the loss."""
        with saying_what_fits(self.net):
            if not self._stepwise(self._both):
                return self._run(self._both)
            loss = self.net.forward()
            self.net.backward()
            return loss

    @property
    def hooked(self) -> bool:
        """Whether functions of a user are to be called between layers."""
        return any((*self.net.hooks.values(), *self.net.step_hooks.values()))

    def prepare(self) -> float:
        """Runs what comes before the recording; returns its loss."""
        begin = self.net.steps[self.first].layers[0]
        return self.net.forward_from_to(0, begin - 1) if self.first else 0.0

    def inputs(self) -> list[Storage]:
        """What the recorded steps read, and the host writes."""
        blobs = (self.net.blob_list[i] for i in self._inputs)
        return list(dict.fromkeys(blob.data for blob in blobs if blob.count))

    def losses(self) -> list[tuple[Blob, float]]:
        """The tops of the recorded steps that are part of the loss, with their weights."""
        return self._losses

    def _stepwise(self, recorded: Recorded) -> bool:
        return bool(recorded.reason) or self.hooked

    @np.errstate(all="ignore")
    def _run(self, recorded: Recorded) -> float:
        loss = self.prepare()
        with self.net.taking_lent():
            recorded()
            for blob, weight in self.losses():
                loss += weight * float(blob.data.array(HOST).sum())
        return loss

    def _up(self) -> None:
        for step in self.net.steps[self.first :]:
            step.in_parts = False
            step.forward()

    def work(self) -> None:
        """The recorded steps, forward and backward."""
        self._up()
        for step in reversed(self.net.steps[self.first :]):
            if any(self.net.gradients.layers[index] for index in step.layers):
                step.backward()

    def storages(self) -> list[Storage]:
        """All that the net's layers read and write."""
        found: dict[int, Storage] = {}
        for blob in self.net.all_blobs:
            found[id(blob.data)], found[id(blob.diff)] = blob.data, blob.diff
        return list(found.values())
