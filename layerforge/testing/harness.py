"""Rig: one layer on its own, fed with arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layerforge.backends import get_backend
from layerforge.core.blob import Blob
from layerforge.core.random import Random
from layerforge.core.storage import HOST
from layerforge.graph.step import LayerStep
from layerforge.layers.base import Layer
from layerforge.netdef.fields import make_fields
from layerforge.netdef.params import Params
from layerforge.netdef.types import LayerDef, Phase


def layer_fields(params: type[Params], case: Mapping[str, Any]) -> Mapping[str, Any]:
    """A flat case as LayerDef.params: names of whole messages stay, the rest goes into the layer's own message."""
    beside = {message for message in params.messages() if message != params.message}
    own = {name: value for name, value in case.items() if name not in beside}
    messages = {name: value for name, value in case.items() if name in beside}
    if own:
        if params.message is None:
            raise TypeError(f"{params.__name__} has no message for {sorted(own)}")
        messages[params.message] = own
    return make_fields(messages)


class Rig:
    """A layer with bottoms made from arrays and tops as the layer shapes them.

    layer    a Layer class
    case     its parameters, flat: {"num_output": 3, "loss_param": {"ignore_label": 1}}
    inputs   one array per bottom
    tops     how many tops; None: as many as the layer needs at least (paired layers: one per bottom)
    in_place top[0] is bottom[0]
    """

    def __init__(
        self,
        layer: type[Layer],
        case: Mapping[str, Any] | None = None,
        inputs: Sequence[np.ndarray] = (),
        *,
        phase: Phase = Phase.TRAIN,
        dtype: Any = np.float32,
        tops: int | None = None,
        in_place: bool = False,
        backend: Any = None,
        seed: int = 1,
        name: str = "layer",
        run_setup: bool = True,
        folder: str = "",
    ) -> None:
        if tops is None:
            least = layer.tops if isinstance(layer.tops, int) else layer.tops[0]
            tops = len(inputs) if layer.paired else max(least, 0)
        self.bottoms = [Blob(np.shape(x), dtype, f"bottom{i}") for i, x in enumerate(inputs)]
        self.tops = [Blob((), dtype, f"top{i}") for i in range(tops)]
        if in_place:
            self.tops[0] = self.bottoms[0]
        definition = LayerDef(
            name,
            layer.type,
            tuple(b.name for b in self.bottoms),
            tuple(t.name for t in self.tops),
            params=layer_fields(layer.Params, case or {}),
            phase=phase,
        )
        self.layer = layer(
            definition, backend=backend or get_backend(), rng=Random(seed), phase=phase, dtype=dtype, folder=folder
        )
        wanted = [i not in self.layer.no_gradient for i in range(len(inputs))]
        self.step = LayerStep(0, self.layer, self.bottoms, self.tops, wanted)
        if run_setup:
            self.step.setup()
        self.feed(inputs)

    def feed(self, inputs: Sequence[np.ndarray]) -> None:
        """Puts values into the bottoms, reshaping them if they differ."""
        for blob, x in zip(self.bottoms, inputs):
            blob.reshape(np.shape(x))
            blob.data.set(np.asarray(x))

    def forward(self, inputs: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        """The tops' values, copied; with inputs, those are fed first (an in-place layer needs them every time)."""
        if inputs is not None:
            self.feed(inputs)
        self.step.forward()
        return [host(blob).copy() for blob in self.tops]

    def backward(
        self, top_diffs: Sequence[np.ndarray], propagate_down: Sequence[bool] | None = None
    ) -> list[np.ndarray]:
        """The bottoms' gradients, copied. Parameter gradients are cleared first; read them from `gradients()`."""
        if propagate_down is not None:
            self.step.propagate_down = list(propagate_down)
        for blob, dy in zip(self.tops, top_diffs):
            blob.diff.set(np.broadcast_to(dy, blob.shape))
        for view in self.layer.blobs:
            view.blob.diff.array(HOST)[...] = 0
            view.blob.diff.wrote(HOST)
        self.step.backward()
        return [blob.diff.array(HOST).reshape(blob.shape).copy() for blob in self.bottoms]

    def parameters(self) -> list[np.ndarray]:
        """The parameters' values, live."""
        return [host(view.blob) for view in self.layer.blobs]

    def gradients(self) -> list[np.ndarray]:
        """The parameters' gradients, copied."""
        return [view.blob.diff.array(HOST).reshape(view.shape).copy() for view in self.layer.blobs]


def host(blob: Blob) -> np.ndarray:
    """A blob's data as a host array of its shape."""
    array: np.ndarray = blob.data.array(HOST).reshape(blob.shape)
    return array
