"""Nets on the stand-in device, by the cuDNN engine or by the layers' own kernels, and what their passes leave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy_cudnn import NumpyRunner
from tape import TapeBackend

from layerforge.backends.cupy.launcher import Launcher
from layerforge.core.random import Random
from layerforge.core.storage import HOST
from layerforge.engines.cudnn.engine import CudnnEngine
from layerforge.net.build import build_net
from layerforge.netdef.types import NetDef, NetState, Phase
from layerforge.schema.read import parse_net
from layerforge.zoo.catalogue import DEPLOY, TRAIN_VAL, models
from layerforge.zoo.check import fed


def make(
    text: str, kind: str = "FP32", engine: bool = True, refuses: Any = lambda key: "", records: bool = False,
    force: bool = False, keep: str = "all", phase: Phase = Phase.TRAIN, backward: bool = True,
) -> Any:
    """(net, runner); the net's data is drawn, the same every time."""
    backend = TapeBackend(records)
    runner = NumpyRunner(backend, refuses)
    engines = [CudnnEngine(backend, runner, kind, keep)] if engine else []
    return made(text, backend, engines, force, keep, phase, backward), runner


def made(
    text: str, backend: Any, engines: Any, force: bool = False, keep: str = "all", phase: Phase = Phase.TRAIN,
    backward: bool = True,
) -> Any:
    """The net on this backend, by these engines."""
    definition = parse_net(("force_backward: true\n" if force else "") + text, "net.prototxt")
    how = {"backend": backend, "engines": engines, "rng": Random(3), "keep": keep, "backward": backward}
    net = build_net(definition, phase, **how)
    rng = np.random.default_rng(1)
    net.blobs["data"].data.set(rng.normal(size=net.blobs["data"].shape).astype(np.float32))
    for each in net.learnable:  # statistics and offsets too: nothing may hide behind zeros
        if each.blob.count and not each.blob.data.array(HOST).any():
            each.blob.data.set(rng.uniform(0.5, 1.5, each.blob.count).astype(np.float32))
    return net


def results(net: Any, seen: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """The loss, blobs and their gradients, parameters and theirs.

    seen  the names of the blobs that are looked at; none: all
    """
    loss = net.forward()
    if net._has_backward:
        net.backward()
    found = {"loss": np.array(loss)}
    for name, blob in net.blobs.items():
        if not seen or name in seen:
            found[name] = blob.data.array(HOST).copy()
            if net._has_backward:
                found[f"d {name}"] = blob.diff.array(HOST).copy()
    for each in net.learnable:
        found[each.name], found[f"d {each.name}"] = each.blob.data.array(HOST).copy(), each.blob.diff.array(HOST).copy()
    return found


def compare(one: dict[str, np.ndarray], other: dict[str, np.ndarray], rtol: float) -> None:
    assert one.keys() == other.keys()
    for name, want in other.items():
        atol = rtol * max(1e-3, float(np.abs(want).max(initial=0)))
        np.testing.assert_allclose(one[name], want, rtol=rtol, atol=atol, err_msg=name)


def near(one: dict[str, np.ndarray], other: dict[str, np.ndarray], rtol: float) -> None:
    """As wholes: in 16 bits single values jump where a ReLU's input is near 0."""
    for name, want in other.items():
        assert np.linalg.norm(one[name] - want) <= rtol * np.linalg.norm(want) + 1e-6, name


def taken(net: Any) -> list[list[str]]:
    """The layers of each step that cuDNN takes."""
    return [[net.layer_names[i] for i in step.layers] for step in net.steps if step.engine == "CUDNN"]


def nets_of(name: str) -> Iterator[tuple[NetDef, Phase]]:
    """The train net, fed with inputs in place of its data, and the net to deploy."""
    model = models()[name]
    if TRAIN_VAL in model.nets:
        state = NetState(Phase.TRAIN)
        yield fed(model.definition(TRAIN_VAL), state, model.facts["feeds"]), Phase.TRAIN
    if DEPLOY in model.nets:
        yield model.definition(DEPLOY), Phase.TEST


def net_on_cudnn(definition: NetDef, phase: Phase, kind: str) -> Any:
    """Planned as the command line does. Nothing runs, so no kernels are needed."""
    backend = TapeBackend(records=False)
    backend.ops.kernels = Launcher(backend.xp)
    engines = [CudnnEngine(backend, NumpyRunner(backend), kind, "outputs")]
    how = {"backend": backend, "engines": engines, "keep": "outputs", "backward": phase is Phase.TRAIN}
    return build_net(definition, phase, **how)


def feed(net, x):
    """Gives a net a batch of another size, and begins its gradients anew."""
    net.blobs["data"].reshape(x.shape)
    net.blobs["label"].reshape(x.shape[:1])
    net.reshape()
    net.blobs["data"].data.set(x)
    net.clear_gradients()
