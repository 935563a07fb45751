"""The base of layer types that users write in files of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from layerforge.core.storage import HOST
from layerforge.core.workspace import Workspace
from layerforge.layers.differentiate import Differentiable
from layerforge.layers.registry import register
from layerforge.netdef.types import LayerDef


class Layer(Differentiable):
    """A layer type of the user's: setting `type` makes it one, as soon as the class is read.

        class Swish2Params(Params):
            beta: float = field(float, 1.0, doc="how steep the gate is")

        class Swish2(Layer):
            type, Params = "Swish2", Swish2Params

            def reshape(self, bottom, top): top[0].reshape(bottom[0].shape)
            def forward(self, bottom, top): ...
            def backward(self, top, propagate_down, bottom): ...

    A prototxt then says `layer { type: "Swish2" ... swish2_param { beta: 0.5 } }`. The name of the message follows from
    the type unless `class Swish2Params(Params, message="...")` gives one.

    differentiate   True: reshape and backward follow from forward, by automatic differentiation
    arrays          "host": NumPy arrays everywhere; "device": those of the net's device, with its `xp` and `ops`
    """

    arrays, captured, uncaptured_reason = "host", False, "is the user's own"

    def __init__(self, definition: LayerDef, **more: Any) -> None:
        super().__init__(definition, **more)
        if self.arrays == "host" and self.backend.representation is not HOST:
            self.xp, self.workspace = np, Workspace()

    def __init_subclass__(cls, **more: object) -> None:
        super().__init_subclass__(**more)
        if cls.__dict__.get("type"):
            register(cls)
