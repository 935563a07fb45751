"""From a definition to a net: the pipeline as a list."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from layerforge.backends import get_backend
from layerforge.core import threads
from layerforge.core.errors import DeviceError
from layerforge.core.random import Random
from layerforge.core.running import Running
from layerforge.core.storage import Representation, Storage
from layerforge.core.use import Access
from layerforge.engines import default_engines
from layerforge.engines.lowering import Engine
from layerforge.graph.gradients import plan_gradients
from layerforge.graph.lower import lower
from layerforge.graph.shapes import Shaped, infer_shapes
from layerforge.graph.sharing import share_parameters
from layerforge.graph.wire import Graph, wire
from layerforge.net.net import Net
from layerforge.netdef.check import check
from layerforge.netdef.filter import filter_net
from layerforge.netdef.splits import insert_splits
from layerforge.netdef.types import NetDef, NetState, Phase

log = logging.getLogger("layerforge")


def build_net(
    definition: NetDef, phase: Phase = Phase.TEST, *, level: int = 0, stages: Sequence[str] = (), backend: Any = None,
    engines: Sequence[Engine] | None = None, rng: Random | None = None, dtype: Any = np.float32, keep: str = "all",
    backward: bool = True, compute_type: str = "", type_where: object = None,
) -> Net:
    """A net that is ready to run. Memory is taken and parameters are filled when they are first touched.

    level, stages  the state the rules are held against, added to what the definition says
    backend        None: NumPy
    engines        who may take layers over, in this order; None: what loads for the backend; (): nobody
    rng            the run's random streams; None: a seed from the system
    dtype          float32, or float64 for gradient checks
    keep           "all": every blob can be read after each pass;  "outputs": the plan may reuse what lies between
    backward       False: the net will only run forward, which lets engines fold and fuse, and takes less memory
    compute_type   FP32, TF32, BF16 or FP16: what the default engines compute products in where the definition does not
                   say; "" is FP32. The net's definition then says what it was built with
    type_where     where a text says it, for errors

    Raises LayerForgeError with file:line, layer and cure.
    """
    backend = backend or get_backend()
    state = NetState(phase, level or definition.state.level, definition.state.stages + tuple(stages))
    definition = filter_net(definition, state)
    definition = check(definition)
    definition = insert_splits(definition)
    graph = wire(definition)
    shaped = infer_shapes(graph, phase, backend=backend, rng=rng or Random(), dtype=dtype,
                          folder=os.path.dirname(definition.file))
    gradients = plan_gradients(graph, shaped.layers, definition.force_backward)
    gradients = gradients if backward else gradients.none()
    learnable = share_parameters(graph, shaped.layers)
    _warn_of_repeated_names(graph, shaped)
    for i, step in enumerate(shaped.steps):
        step.needed, step.propagate_down = gradients.layers[i], list(gradients.bottoms[i])
        step.layer.needs_gradient = list(gradients.parameters[i])
    if engines is None:
        engines = _engines(definition, backend, keep, compute_type, type_where)
        definition = replace(definition, compute_type=definition.compute_type or compute_type)
    running = next((engine.running for engine in engines if hasattr(engine, "running")), Running(threads.count()))
    with running.computing():
        plan = lower(shaped.steps, engines)
    lowered = any(step.engine != "layer" for step in plan.steps)
    if not lowered:
        running = Running(running.threads)
    net = Net(definition, phase, graph, shaped, gradients, learnable, plan, backend, rng, keep, backward, running)
    if lowered:  # else nobody waits for a turn with the engine's threads
        net.update_ops = next((ops for each in engines if (ops := getattr(each, "update_ops", None))), net.update_ops)
    for layer in net.layers if keep == "outputs" else ():
        if hasattr(layer, "readers"):
            layer.readers = partial(_readers, weakref.ref(net))
    return net


def _readers(net: weakref.ref[Net], storage: Storage) -> list[Representation]:
    """In which representations the steps read a value."""
    made = net()
    uses = (use for step in made.steps for both in step.uses() for use in both) if made is not None else ()
    return list(dict.fromkeys(u.representation for u in uses if u.storage is storage and u.access is not Access.WRITE))


def _engines(definition: NetDef, backend: Any, keep: str, compute_type: str, type_where: object) -> list[Engine]:
    """The engines that compute in the definition's type, else in the given one.

    Raises DeviceError, with the place of the text that asks for what there is not.
    """
    try:
        return default_engines(backend, keep, definition.compute_type or compute_type)
    except DeviceError as error:
        where = definition.where if definition.compute_type else type_where
        raise DeviceError(error.message, where=where, hint=error.hint) from error


def _warn_of_repeated_names(graph: Graph, shaped: Shaped) -> None:
    """Weights go by layer name: two layers with parameters and one name are a trap."""
    first: dict[str, Any] = {}
    for node, layer in zip(graph.nodes, shaped.layers):
        if not layer.blobs:
            continue
        name = node.definition.name
        if name in first:
            log.warning(
                "%s: %s has the name of the layer at %s; both have parameters, and this one takes the weights "
                "of that name",
                node.definition.where,
                node.definition,
                first[name],
            )
        first.setdefault(name, node.definition.where)
