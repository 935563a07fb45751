"""What is timed on a GPU: a step of LayerForge or PyTorch, for one net, batch and number type."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from bench import nets
from bench.nets import TRAIN, Case
from bench.systems import RULE, Missing

STANDS_IN = os.environ.get("LAYERFORGE_GPU") == "stand-in"
SMALL = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 1 dim: 8 dim: 8 } } }
layer { name: "label" type: "Input" top: "label" include { phase: TRAIN } input_param { shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" include { phase: TRAIN } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" include { phase: TEST } }
"""
"""What the stand-in runs in the place of every net."""
GRAPH, COMPILED = "graph", "compiled"
COMPILER = "eager" if STANDS_IN else "inductor"


@dataclass(frozen=True)
class Made:
    """A system that is ready.

    run    so many steps, and waits for them
    used   bytes of the device that are taken, by everything
    moved  bytes that a step reads and writes of values, weights and history; 0 where that is not known
    note   what is to be known about the figures
    """

    run: Callable[[int], None]
    used: Callable[[], int]
    moved: int = 0
    note: str = ""


def definition(case: Case) -> Any:
    """The net with Inputs of the case's batch."""
    if not STANDS_IN:
        return nets.definition(case)
    from layerforge.netdef.filter import filter_net
    from layerforge.netdef.types import NetState
    from layerforge.schema.read import parse_net

    return filter_net(parse_net(SMALL), NetState(case.phase))


def inputs(case: Case) -> dict[str, np.ndarray]:
    """Values for its Inputs."""
    if not STANDS_IN:
        return nets.inputs(case)
    data = {"data": np.random.default_rng(0).standard_normal((2, 1, 8, 8)).astype(np.float32)}
    return {**data, "label": np.ones(2, np.float32)} if case.mode == TRAIN else data


def layerforge(case: Case, kind: str) -> Made:
    """By the solver, one CUDA graph an iteration; inference forward only, packed and folded."""
    from gpu.gpu import open_gpu, used_bytes

    from layerforge.core.errors import DeviceError

    try:
        device = open_gpu()
        before = used_bytes(device)
        run, net, updates, note = (_training if case.mode == TRAIN else _inference)(device, case, kind)
    except DeviceError as error:
        raise Missing(str(error)) from error
    return Made(run, lambda: used_bytes(device) - before, moved_bytes(net, updates), note)


def _training(device: Any, case: Case, kind: str) -> tuple[Callable[[int], None], Any, int, str]:
    from layerforge.netdef.types import Field
    from layerforge.schema.read import parse_solver
    from layerforge.solver.loop import Solver

    rule = parse_solver(RULE)
    rule = replace(rule, fields={**rule.fields, "net_param": Field(definition(case))})
    solver = Solver(rule, backend=device, keep="outputs", compute_type=kind)
    for name, array in inputs(case).items():
        solver.net.blobs[name].data.set(array)
    solver.step(5)
    reason = solver.iterations.reason if solver.iterations is not None else "the backend records nothing"
    note = f"not one graph: {reason}" if reason else ""

    def run(steps: int) -> None:
        solver.step(steps)
        device.synchronize()
        assert np.isfinite(solver.losses[-1])

    return run, solver.net, len(solver.updater.history) // max(1, len(solver.net.learnable)), note


def _inference(device: Any, case: Case, kind: str) -> tuple[Callable[[int], None], Any, int, str]:
    from layerforge.core.storage import HOST
    from layerforge.net.build import build_net
    from layerforge.net.passes import Passes
    from layerforge.zoo.check import neutral_statistics

    net = build_net(definition(case), case.phase, backend=device, keep="outputs", backward=False, compute_type=kind)
    neutral_statistics(net)
    net.blobs["data"].data.set(inputs(case)["data"])
    passes, result = Passes(net), net.blobs[net.outputs[0]].data

    def run(steps: int) -> None:
        for _ in range(steps):
            passes.forward()
            result.array(HOST)

    run(4)
    return run, net, 0, "; ".join(passes.reasons)


def moved_bytes(net: Any, histories: int) -> int:
    """What a step has to read and write, in the layouts that the steps take, were each value moved once a use."""
    from layerforge.core.use import Access

    def size(use: Any) -> int:
        form = getattr(use.representation, "form", None)
        if form is None:
            return int(use.storage.nbytes)
        return int(form.count * (4 if form.kind == "FP32" else 2))

    total = 0
    for step in net.steps:
        forward, backward = step.uses()
        for use in (*forward, *(backward if net.phase.name == TRAIN.upper() else ())):
            total += size(use) * (2 if use.access is Access.UPDATE else 1)
    parameters = sum(each.blob.data.nbytes for each in net.learnable) if histories else 0
    return total + parameters * (3 + 2 * histories)  # gradient; parameter and history, read and written


def torch(case: Case, kind: str, how: str) -> Made:
    """PyTorch channels last, BF16 by autocast (weights too in inference); the whole step as one CUDA graph.

    how  GRAPH: of eager code; COMPILED: of torch.compile's
    """
    try:
        import torch
        from bench.torch_nets import Translation
    except ImportError as error:
        raise Missing(f"PyTorch cannot be loaded: {error}") from error
    place = "cuda" if torch.cuda.is_available() else "cpu"
    if place == "cpu" and not STANDS_IN:
        raise Missing("PyTorch sees no GPU")
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = kind != "FP32"
    torch.backends.cudnn.benchmark = True
    before = torch_used(torch, place)
    values = inputs(case)
    model, data = Translation(definition(case), case.phase).model.to(place), torch.tensor(values["data"]).to(place)
    model, data = (x.to(memory_format=torch.channels_last) for x in (model, data))
    wide = torch.bfloat16 if kind == "BF16" else torch.float32
    if case.mode == TRAIN:
        label = torch.tensor(values["label"]).long().to(place)
        step, after = torch_training(torch, model, data, label, wide, place, how), lambda: None
    else:
        step, after = torch_inference(torch, model.to(wide), data.to(wide), how)
    replay = captured(torch, step) if place == "cuda" else step

    def run(steps: int) -> None:
        for _ in range(steps):
            replay()
            after()
        if place == "cuda":
            torch.cuda.synchronize()

    run(3)
    return Made(run, lambda: torch_used(torch, place) - before)


def torch_training(
    torch: Any, model: Any, data: Any, label: Any, wide: Any, place: str, how: str
) -> Callable[[], None]:
    """Forward, backward and update by SGD with momentum and weight decay."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5, momentum=0.9, weight_decay=5e-4, fused=place == "cuda")
    called = torch.compile(model, backend=COMPILER) if how == COMPILED else model

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        # its cache of cast weights would not outlive a capture
        with torch.autocast(place, torch.bfloat16, enabled=wide is torch.bfloat16, cache_enabled=False):
            loss = called(data, label)
        loss.backward()
        optimizer.step()

    return step


def torch_inference(torch: Any, model: Any, data: Any, how: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """Forward; and the copy of its scores to the host, which waits for them."""
    called = torch.compile(model, backend=COMPILER) if how == COMPILED else model
    held: list[Any] = [None]

    def step() -> None:
        with torch.no_grad():
            held[0] = called(data)

    return step, lambda: held[0].float().cpu()


def captured(torch: Any, step: Callable[[], None]) -> Callable[[], None]:
    """The step as a CUDA graph: warmed up on a stream of its own first, as PyTorch asks."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(4):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def torch_used(torch: Any, place: str) -> int:
    """Bytes of the device that are taken, by everything."""
    if place == "cpu":
        return 0
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return int(total - free)


def bandwidth() -> float:
    """Bytes a second that a copy on the device reads and writes."""
    from gpu.gpu import open_gpu

    if STANDS_IN:
        return 1e9
    device = open_gpu()
    cuda, one = device.xp.cuda, device.xp.zeros(1 << 30, np.uint8)
    other, begin, end = device.xp.empty_like(one), cuda.Event(), cuda.Event()
    for _ in range(3):
        other[...] = one
    begin.record(device.stream)
    for _ in range(10):
        other[...] = one
    end.record(device.stream)
    end.synchronize()
    return 10 * 2 * one.nbytes / (cuda.get_elapsed_time(begin, end) / 1e3)


def device_name() -> str:
    """The device and what computes on it."""
    from gpu.gpu import open_gpu

    from layerforge.backends.cupy.device import packages, version_text

    runtime = open_gpu().xp.cuda.runtime
    name = runtime.getDeviceProperties(0)["name"]
    parts = [name.decode() if isinstance(name, bytes) else str(name),
             f"driver for CUDA {version_text(runtime.driverGetVersion())}"]
    parts += [f"{package} {version}" for package, version in packages()[0]]
    with contextlib.suppress(ImportError):
        import torch

        parts.append(f"torch {torch.__version__}")
    return ", ".join(parts)


SYSTEMS: dict[str, Callable[[Case, str], Made]] = {
    "layerforge": layerforge,
    GRAPH: lambda case, kind: torch(case, kind, GRAPH),
    COMPILED: lambda case, kind: torch(case, kind, COMPILED),
}
