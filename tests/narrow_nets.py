"""The zoo's nets with a part of their channels, so that they run in no time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from layerforge.netdef.filter import filter_net
from layerforge.netdef.types import Field, LayerDef, NetDef, NetState, Phase
from layerforge.zoo.catalogue import TRAIN_VAL, models
from layerforge.zoo.check import fed

CLASSES = 10  # in place of 1,000
MESSAGES = {"Convolution": "convolution_param", "InnerProduct": "inner_product_param", "LSTM": "recurrent_param",
            "Embed": "embed_param", "OneHot": "one_hot_param"}


def narrowed(layer: LayerDef, factor: int, outputs: int, many: bool) -> LayerDef:
    """The layer with a part of its channels and groups.

    outputs  how many the net gives in the end: these stay, or with `many` become CLASSES, as the words of a text do
    """
    name = MESSAGES.get(layer.type)
    if name not in layer.params:
        return layer
    fields = dict(layer.params[name].value)
    for key, field in fields.items():
        if key == "num_output" and field.value == outputs or key in ("input_dim", "depth"):
            fields[key] = Field(CLASSES) if many else field
        elif key == "num_output" or key == "group" and field.value > 3:
            fields[key] = Field(-(-field.value // factor))
    return replace(layer, params={**layer.params, name: Field(fields)})


def reduced(name: str, factor: int, sizes: Mapping[str, list[int]]) -> tuple[NetDef, dict[str, Any]]:
    """A narrow training net that reads four items, and what it is fed."""
    model = models()[name]
    feeds = {key: dict(spec) for key, spec in model.facts["feeds"].items()}
    shape = next(iter(model.facts["outputs"].values()))
    outputs, many = shape[2 if len(shape) == 3 else 1], feeds.get("label", {}).get("below", 0) > 100
    for key, spec in feeds.items():
        batch_axis = 1 if "cont" in feeds else 0  # (T, N) or (N, ...)
        spec["shape"] = sizes.get(key) or [4 if i == batch_axis else n for i, n in enumerate(spec["shape"])]
        if many and spec.get("below", 0) > 100:
            spec["below"] = CLASSES
    state = NetState(Phase.TRAIN)
    net = filter_net(fed(model.definition(TRAIN_VAL), state, feeds), state)
    plain = (replace(layer, phase=None, include=(), exclude=()) for layer in net.layers)
    layers = tuple(narrowed(layer, factor, outputs, many) for layer in plain)
    return replace(net, layers=layers, state=NetState()), feeds
