"""One net of inference twice, with the engine and without, on the same parameters and inputs."""

from __future__ import annotations

import numpy as np

from layerforge.core.storage import HOST
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

RNG = np.random.default_rng(0)


def pair(definition, keep="outputs", **how):
    """The net of a text with the engine and without, whose input is "x". Parameters that are 0 are drawn."""
    made = parse_net(definition, "net.prototxt")
    nets = [build_net(made, Phase.TEST, keep=keep, backward=False, **extra) for extra in (how, {"engines": ()})]
    for a, b in zip(*(net.all_blobs[len(net.blob_list) :] for net in nets)):
        values = b.data.array(HOST).copy()
        values = values if values.any() else RNG.uniform(0.5, 1.5, values.shape).astype(np.float32)
        a.data.set(values), b.data.set(values)
    feed(nets)
    return nets


def feed(nets):
    """New values for the input."""
    values = RNG.standard_normal(nets[0].blobs["x"].shape)
    for net in nets:
        net.blobs["x"].data.set(values.astype(np.float32))


def distance(nets, name=""):
    """Of what a pass gives in the blob, else the net's first output, as a part of the plain one."""
    for net in nets:
        net.forward()
    a, b = (net.blobs[name or net.outputs[0]].data.array(HOST) for net in nets)
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def runs(net, kind):
    """What of this kind the net's steps run forward."""
    return [run for step in net.steps if step.engine == "ONEDNN" for run in step.work.forwards if isinstance(run, kind)]
