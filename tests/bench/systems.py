"""Who is timed: what makes a step of a case, and what its process is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from bench.nets import TEST, TRAIN, Case, arithmetic, definition, inputs

RULE = 'type: "SGD" base_lr: 1e-5 lr_policy: "fixed" momentum: 0.9 weight_decay: 5e-4 max_iter: 1000000 random_seed: 1'
LOADED = ("torch", "onnxruntime", "openvino")

# glibc's malloc keeps what is freed: no mapping for large blocks, nothing given back to the system.
TUNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**62), "MALLOC_TOP_PAD_": str(2**26)}


class Missing(Exception):
    """A system that cannot run here, with the reason."""


@dataclass(frozen=True)
class Job:
    """What a process is to do.

    file  the exported ONNX, for those that read it
    """

    case: Case
    threads: int
    file: str = ""


@dataclass(frozen=True)
class Made:
    """A step, and what is known beside its time.

    flops  multiplications and additions of a step, where the system counts them
    """

    step: Callable[[], None]
    flops: float = 0.0


@dataclass(frozen=True)
class System:
    """One that is timed.

    title        the head of its column
    package      what it needs
    begin, make  import what there is to import; then make the step. Only the second is measured
    modes        what it does
    environment  of its process
    """

    title: str
    package: str
    make: Callable[[Job], Made]
    begin: Callable[[Job], None] = lambda job: None
    modes: tuple[str, ...] = (TRAIN, TEST)
    environment: dict[str, str] = field(default_factory=dict)


def make_layerforge(job: Job, compute_type: str = "") -> Made:
    return (_layerforge_training if job.case.mode == TRAIN else _layerforge_inference)(job.case, compute_type)


def _layerforge_training(case: Case, compute_type: str) -> Made:
    """A training by the solver; its process is set up when the first step is done."""
    from layerforge.netdef.types import Field
    from layerforge.schema.read import parse_solver
    from layerforge.solver.loop import Solver

    rule = parse_solver(RULE)
    rule = replace(rule, fields={**rule.fields, "net_param": Field(definition(case))})
    solver = Solver(rule, keep="outputs", compute_type=compute_type)
    values, blobs = inputs(case), solver.net.blobs

    def step() -> None:
        for name, array in values.items():
            blobs[name].data.set(array)
        solver.step(1)
        assert np.isfinite(solver.losses[-1])

    return Made(step, arithmetic(solver.net))


def _layerforge_inference(case: Case, compute_type: str) -> Made:
    from layerforge.core.storage import HOST
    from layerforge.net.build import build_net
    from layerforge.zoo.check import neutral_statistics

    net = build_net(definition(case), case.phase, keep="outputs", backward=False, compute_type=compute_type)
    neutral_statistics(net)
    (data,), (output,) = inputs(case).values(), net.outputs
    source, result = net.blobs["data"].data, net.blobs[output].data

    def step() -> None:
        source.set(data)
        net.forward()
        result.array(HOST)

    return Made(step, arithmetic(net))


def begin_layerforge(job: Job, compute_type: str = "") -> None:
    """Imports what a training imports, and loads the engine's library."""
    import layerforge.solver.loop  # noqa: F401
    from layerforge.backends import get_backend
    from layerforge.core.errors import LayerForgeError
    from layerforge.engines import default_engines

    try:
        default_engines(get_backend(), compute_type=compute_type)
    except LayerForgeError as error:
        raise Missing(error.message) from error


def begin_torch(job: Job) -> None:
    import bench.torch_nets  # noqa: F401
    import torch

    torch.set_num_threads(job.threads)
    torch.manual_seed(0)


def make_torch(job: Job, last: bool = False, compiled: bool = False) -> Made:
    """PyTorch; `last`: values and weights channels last; `compiled`: torch.compile with its defaults."""
    import torch
    from bench.torch_nets import Translation

    case = job.case
    model = Translation(definition(case), case.phase).model
    values = inputs(case)
    data = torch.tensor(values["data"])
    if last:
        if data.dim() != 4:
            raise Missing("values without channels")
        model, data = model.to(memory_format=torch.channels_last), data.contiguous(memory_format=torch.channels_last)
    if compiled:
        torch._dynamo.config.suppress_errors = False
        model = torch.compile(model)
    return Made(_torch_training(model, data, values["label"]) if case.mode == TRAIN else _torch_inference(model, data))


def _torch_training(model, data, label) -> Callable[[], None]:
    import torch

    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5, momentum=0.9, weight_decay=5e-4)
    label = torch.tensor(label).long()

    def step() -> None:
        optimizer.zero_grad()
        loss = model(data.clone(), label)
        loss.backward()
        optimizer.step()
        assert np.isfinite(loss.item())

    return step


def _torch_inference(model, data) -> Callable[[], None]:
    import torch

    def step() -> None:
        with torch.inference_mode():
            model(data.clone()).numpy()

    return step


def begin_onnxruntime(job: Job) -> None:
    import onnxruntime  # noqa: F401


def make_onnxruntime(job: Job) -> Made:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = job.threads, 1
    session = onnxruntime.InferenceSession(job.file, options, providers=["CPUExecutionProvider"])
    feed = inputs(job.case)
    return Made(lambda: session.run(None, feed) and None)


def begin_openvino(job: Job) -> None:
    import openvino  # noqa: F401


def make_openvino(job: Job) -> Made:
    """In float32, for the least latency, on as many threads."""
    import openvino

    wishes = {"INFERENCE_NUM_THREADS": job.threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32",
              "ENABLE_CPU_PINNING": False}
    request = openvino.Core().compile_model(job.file, "CPU", wishes).create_infer_request()
    (data,) = inputs(job.case).values()

    def step() -> None:
        request.infer([data])
        np.array(request.get_output_tensor(0).data)

    return Made(step)


def export(case: Case, path: str) -> None:
    """The same net as ONNX, which is what `layerforge export` writes."""
    from layerforge.io.onnx.export import export_onnx
    from layerforge.net.build import build_net
    from layerforge.zoo.check import neutral_statistics

    net = build_net(definition(case), case.phase, engines=(), backward=False)
    neutral_statistics(net)
    export_onnx(net, path)


def _torch(title: str, tuned: bool = False, **how: bool) -> System:
    title, environment = (f"{title}, tuned", TUNED) if tuned else (title, {})
    return System(title, "torch", lambda job: make_torch(job, **how), begin_torch, environment=environment)


OURS, BF16 = "layerforge", "layerforge_bf16"
SYSTEMS = {
    OURS: System("LayerForge", "layerforge", make_layerforge, begin_layerforge),
    BF16: System("BF16", "layerforge", lambda job: make_layerforge(job, "BF16"),
                 lambda job: begin_layerforge(job, "BF16")),
    "eager": _torch("eager"),
    "channels_last": _torch("channels last", last=True),
    "compile": _torch("compiled", compiled=True),
    "compile_last": _torch("compiled, last", compiled=True, last=True),
    "eager_tuned": _torch("eager", tuned=True),
    "channels_last_tuned": _torch("channels last", tuned=True, last=True),
    "compile_tuned": _torch("compiled", tuned=True, compiled=True),
    "onnxruntime": System("ONNX Runtime", "onnxruntime", make_onnxruntime, begin_onnxruntime, modes=(TEST,)),
    "openvino": System("OpenVINO", "openvino", make_openvino, begin_openvino, modes=(TEST,)),
}
SHOWN = (OURS, "eager")  # whose set-up and memory are
TORCH = ("eager", "channels_last", "compile", "compile_last")
TUNED_TORCH = ("eager_tuned", "channels_last_tuned", "compile_tuned")
READ_ONNX = ("onnxruntime", "openvino")


def environment(system: str, threads: int) -> dict[str, str]:
    """Of the system's process: threads, and no wish for other kernels."""
    left = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    limits = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
    return {**left, **limits, **SYSTEMS[system].environment}
