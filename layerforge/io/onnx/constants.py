"""Layers whose tops are the same whatever the inputs hold: they are computed once and written down."""

from __future__ import annotations

from layerforge.core.storage import HOST
from layerforge.graph.step import LayerStep
from layerforge.io.onnx.graph import Builder, Call, Refused, converts


@converts("PriorBox", "Parameter", "DummyData", "Shape")
def constant(g: Builder, call: Call) -> list[str]:
    """The tops, by the layer itself."""
    if call.layer.type == "Shape" and g.dynamic:
        raise Refused("its values depend on the batch")
    LayerStep(0, call.layer, *call.tensors).forward()
    return [g.weight(f"value{i}", top.data.array(HOST).reshape(top.shape)) for i, top in enumerate(call.tensors[1])]
