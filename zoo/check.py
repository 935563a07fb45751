"""Whether a model is what its README says: shapes, parameters and MACs; and whether numbers pass through it."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from layerforge.core.random import Random
from layerforge.core.storage import HOST
from layerforge.engines.lowering import Engine
from layerforge.graph.figures import Totals, layer_figures, totals
from layerforge.net.build import build_net
from layerforge.net.net import Net
from layerforge.netdef.filter import meets
from layerforge.netdef.types import Field, LayerDef, NetDef, NetState, Phase
from layerforge.zoo.catalogue import DEPLOY, TRAIN_VAL, Model

SOURCES = ("Data", "ImageData", "HDF5Data", "MemoryData", "WindowData", "DummyData")


def built(
    model: Model, file: str, phase: Phase | None = None, stages: Sequence[str] = (), *,
    engines: Sequence[Engine] | None = (),
) -> Net:
    """A net of the model at batch 1, with an Input in place of each data layer. No memory is taken.

    engines  none, because shapes need none; None: those that load here
    """
    phase = model.nets[file] if phase is None else phase
    definition = fed(model.definition(file), NetState(phase, 0, tuple(stages)), model.facts["feeds"])
    return build_net(definition, phase, stages=stages, rng=Random(1), engines=engines)


def fed(definition: NetDef, state: NetState, feeds: Mapping[str, Any]) -> NetDef:
    """The net with Inputs for its data layers: what they give has the shapes of the front matter's `feeds`."""
    layers = []
    for layer in definition.layers:
        if layer.type not in SOURCES:
            layers.append(layer)
        elif not layer.include or any(meets(state, rule) for rule in layer.include):
            layers.append(_input(layer, feeds))
    return replace(definition, layers=tuple(layers))


def _input(layer: LayerDef, feeds: Mapping[str, Any]) -> LayerDef:
    shapes = tuple(Field({"dim": Field(tuple(map(Field, feeds[top]["shape"])))}) for top in layer.tops)
    params = {"input_param": Field({"shape": Field(shapes)})}
    return LayerDef(layer.name, "Input", tops=layer.tops, params=params, where=layer.where)


def net_totals(net: Net) -> Totals:
    """Parameters, statistics and MACs of a net."""
    return totals(layer_figures(net.graph, net.layers, net.blob_list))


def check_figures(model: Model) -> Iterator[str]:
    """What differs from the front matter: nothing for a good model."""
    facts = model.facts
    for file in model.nets:
        net = built(model, file)
        have = net_totals(net)
        if file == DEPLOY:
            yield from _differences(file, have, facts, ("parameters", "macs"))
            shapes = {name: feed["shape"] for name, feed in facts["feeds"].items() if name in net.inputs}
            for name, shape in (shapes | facts.get("inputs", {}) | facts["outputs"]).items():
                if name not in net.blobs or list(net.blobs[name].shape) != shape:
                    found = net.blobs[name].shape if name in net.blobs else "missing"
                    yield f"{file}: {name} is {found}, the README says {shape}"
        elif file == TRAIN_VAL:
            expected = {"parameters": facts.get("parameters_in_training", facts["parameters"])}
            yield from _differences(file, have, expected, ("parameters",))
            if not any(net.loss_weights.values()):
                yield f"{file}: the net has no loss"


def _differences(file: str, have: Totals, facts: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if getattr(have, name) != facts[name]:
            yield f"{file}: {name} are {getattr(have, name):,}, the README says {facts[name]:,}"


def check_passes(model: Model) -> Iterator[str]:
    """What goes wrong in a forward and a backward pass of every net with seeded data: nothing for a good model."""
    for file in model.nets:
        yield from (f"{file}: {problem}" for problem in _passes(built(model, file, engines=None), model))
        gc.collect()  # nets hold themselves in circles, and the next one needs the memory


def _passes(net: Net, model: Model) -> list[str]:
    """What goes wrong in one net."""
    feed(net, model.facts["feeds"])
    neutral_statistics(net)
    loss, problems = net.forward(), []
    if not math.isfinite(loss):
        problems.append(f"the loss is {loss}")
    problems += [f"{name} is not finite" for name in net.outputs
                 if not np.isfinite(net.blobs[name].data.array(HOST)).all()]
    if any(net.loss_weights.values()):
        net.backward()
        problems += [f"the gradient of {each.name} is not finite" for each in net.learnable
                     if not np.isfinite(each.blob.diff.array(HOST)).all()]
    return problems


def neutral_statistics(net: Net) -> None:
    """Kept statistics of mean 0 and variance 1: untrained ones say variance 0, by whose root a net to apply divides."""
    for layer in net.layers:
        if layer.type == "BatchNorm":
            for view in layer.blobs[1:3]:
                view.blob.data.set(np.ones(view.shape, view.dtype))


def feed(net: Net, feeds: Mapping[str, Any], seed: int = 1) -> None:
    """Seeded values for the inputs: whole numbers 0 ... below - 1 where `below` is given, else normal ones."""
    rng = np.random.default_rng(seed)
    for name in net.inputs:
        blob, spec = net.blobs[name], feeds[name]
        values = rng.integers(0, spec["below"], blob.shape) if "below" in spec else rng.standard_normal(blob.shape)
        blob.data.array(HOST)[...] = values.ravel()
        blob.data.wrote(HOST)
