"""LSTM and RNN beside PyTorch: `python tests/bench/bench_recurrent.py [threads]`.

Milliseconds of forward, and of forward and backward, without an update; medians of interleaved turns.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

SIZES = ((32, 16, 256, 256), (20, 64, 512, 512), (50, 32, 128, 256), (35, 20, 650, 650))
"""Steps, streams, inputs, outputs; the first is the survey's, the last Zaremba's medium language model."""
TURNS = 15


def ours(kind, t, n, i, d, train):
    import numpy as np

    from layerforge.net.build import build_net
    from layerforge.netdef.types import Phase
    from layerforge.schema.read import parse_net

    inputs = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}'
        for name, dims in (("x", f"dim: {t} dim: {n} dim: {i}"), ("cont", f"dim: {t} dim: {n}"))
    )
    fields = f'num_output: {d} weight_filler {{ type: "xavier" }}' + (" tf_rnn: true" if kind == "RNN" else "")
    text = (
        f'force_backward: {str(train).lower()} {inputs} layer {{ name: "r" type: "{kind}" bottom: "x" bottom: "cont" '
        f'top: "y" propagate_down: true propagate_down: false recurrent_param {{ {fields} }} }}'
    )
    net = build_net(parse_net(text), Phase.TRAIN if train else Phase.TEST, keep="outputs", backward=train)
    x = np.random.default_rng(0).standard_normal((t, n, i)).astype(np.float32)
    flags = np.ones((t, n), np.float32)
    flags[0] = 0
    dy = np.ones((t, n, d), np.float32)

    def step():
        net.blobs["x"].data.set(x)
        net.blobs["cont"].data.set(flags)
        net.forward()
        net.blobs["y"].data.array()
        if train:
            net.clear_gradients()
            net.blobs["y"].diff.set(dy)
            net.backward()

    return step


def theirs(kind, t, n, i, d, train):
    import torch

    model = getattr(torch.nn, kind)(i, d)
    x = torch.randn(t, n, i, requires_grad=train)
    dy = torch.ones(t, n, d)

    def step():
        if train:
            model.zero_grad()
            x.grad = None
            model(x)[0].backward(dy)
        else:
            with torch.inference_mode():
                model(x)

    return step


def median(step, turns):
    for _ in range(2):
        step()
    found = []
    for _ in range(turns):
        start = time.perf_counter()
        step()
        found.append(time.perf_counter() - start)
    return statistics.median(found) * 1e3


def main():
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    print(f"{'':5}{'T, N, I, D':22}{'mode':7}{'ours ms':>9}{'PyTorch':>9}{'ratio':>7}")
    for kind in ("LSTM", "RNN"):
        for size in SIZES:
            for mode in ("train", "test"):
                steps = [make(kind, *size, mode == "train") for make in (ours, theirs)]
                with threadpool_limits(1, "blas"):
                    pairs = [[median(step, TURNS // 3) for step in steps] for _ in range(3)]
                mine, peer = (statistics.median(column) for column in zip(*pairs))
                print(f"{kind:5}{str(size):22}{mode:7}{mine:9.2f}{peer:9.2f}{peer / mine:7.2f}", flush=True)


if __name__ == "__main__":
    main()
