"""One system in a process of its own: `python peers.py SYSTEM NET train|test THREADS [wall|cpu]`.

Each line "N" runs N steps and answers the milliseconds of each; the first answer is "ready SETUP_SECONDS PEAK_MIB".
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from nets import NETS


def layerforge_step(name, train, compute_type="FP32"):
    from layerforge.core.storage import HOST
    from layerforge.net.build import build_net
    from layerforge.netdef.types import Phase
    from layerforge.schema.read import parse_net, parse_solver
    from layerforge.solver.params import SolverParams
    from layerforge.solver.updater import Updater

    make, batch = NETS[name]
    phase = Phase.TRAIN if train else Phase.TEST
    definition = parse_net(str(make(batch, train)))
    net = build_net(definition, phase, keep="outputs", backward=train, compute_type=compute_type)
    rng = np.random.default_rng(0)
    data = rng.standard_normal(net.blobs["data"].shape).astype(np.float32)
    label = rng.integers(0, 10, batch).astype(np.float32)
    rule = 'base_lr: 1e-5 lr_policy: "fixed" momentum: 0.9 weight_decay: 5e-4'
    updater = Updater(net, SolverParams.from_definition(parse_solver(rule))) if train else None
    if updater:
        updater.set_early(True)
    output = net.blobs[net.outputs[0]]

    def step(k):
        net.blobs["data"].data.set(data)
        if train:
            net.blobs["label"].data.set(label)
            net.clear_gradients()
            loss = net.forward()
            updater.backward(k, loss, lambda *_: None)
            assert np.isfinite(loss)
        else:
            net.forward()
            output.data.array(HOST)

    return step


def torch_step(name, train, last):
    import torch
    from torch_nets import fold, make_net

    make, batch = NETS[name]
    model, size = make_net(str(make(batch, train)))
    rng = np.random.default_rng(0)
    data = torch.tensor(rng.standard_normal(size).astype(np.float32))
    label = torch.tensor(rng.integers(0, 10, batch))
    if last and data.dim() == 4:
        model, data = model.to(memory_format=torch.channels_last), data.contiguous(memory_format=torch.channels_last)
    if train:
        optimiser = torch.optim.SGD(model.parameters(), lr=1e-5, momentum=0.9, weight_decay=5e-4)
    else:
        model = fold(model.eval())

    def step(k):
        x = data.clone()
        if train:
            optimiser.zero_grad()
            loss = model(x, label)
            loss.backward()
            optimiser.step()
            assert np.isfinite(loss.item())
        else:
            with torch.inference_mode():
                model(x).sum().item()

    return step


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def main(system, name, mode, threads, clock="wall"):
    ours = {"layerforge": "FP32", "layerforge-bf16": "BF16"}
    if system in ours:
        import layerforge.solver.updater  # noqa: F401  the peak is counted above the imports, on both sides
        from layerforge.backends import get_backend
        from layerforge.engines import default_engines

        default_engines(get_backend())
    else:
        import torch
        import torch_nets  # noqa: F401

        torch.set_num_threads(int(threads))
        torch.manual_seed(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    step = (
        layerforge_step(name, mode == "train", ours[system])
        if system in ours
        else torch_step(name, mode == "train", system == "channels_last")
    )
    made = time.perf_counter() - start
    count = 0
    for _ in range(3):
        step(count)
        count += 1
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"ready {made:.3f} {peak:.0f}", flush=True)
    for line in sys.stdin:
        times, now = [], CLOCKS[clock]
        for _ in range(int(line)):
            start = now()
            step(count)
            times.append((now() - start) * 1e3)
            count += 1
        print(*(f"{t:.3f}" for t in times), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", sys.argv[4])
    main(*sys.argv[1:])
