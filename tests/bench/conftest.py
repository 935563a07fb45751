"""Timings of single layers: `python -m pytest -s tests/bench/bench_losses.py`.

Each case prints nanoseconds per value of the largest bottom, on one thread, beside the same in PyTorch where that can
be imported. Files are named bench_*, so that the test suite does not run them.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from layerforge.testing import Rig

LEAST_SECONDS = 0.3


def fastest(run) -> float:
    """Seconds of the fastest of many calls."""
    run()  # the first call also loads what is late
    best, end = float("inf"), time.perf_counter() + LEAST_SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def torch_seconds(function, inputs, integers) -> tuple[float, float] | None:
    """Forward and backward of a PyTorch function, or None without PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    tensors = [
        torch.tensor(x, dtype=torch.int64 if i in integers else torch.float32, requires_grad=i == 0)
        for i, x in enumerate(inputs)
    ]
    forward = fastest(lambda: function(torch, *tensors))
    y = function(torch, *tensors)
    if not y.requires_grad:
        return forward, 0.0
    dy = torch.ones_like(y)

    def backward():
        tensors[0].grad = None
        y.backward(dy, retain_graph=True)

    return forward, fastest(backward)


@pytest.fixture
def bench():
    """bench(layer, case, inputs, beside): times a layer, and beside(torch, *tensors), where `integers` become int64."""

    def run(layer, case, inputs, beside=None, integers=(1,), **rig):
        with threadpool_limits(1):
            made = Rig(layer, case, inputs, **rig)
            tops = made.forward()
            assert all(np.isfinite(y).all() for y in tops)
            made.backward([np.ones_like(y) for y in tops] if any(made.step.propagate_down) else [])
            forward, backward = fastest(made.step.forward), fastest(made.step.backward)
            other = torch_seconds(beside, inputs, integers) if beside else None
        size = max(np.size(x) for x in inputs)
        text = f"forward {forward / size * 1e9:7.2f}  backward {backward / size * 1e9:7.2f} ns/value"
        if other:
            text += f"   PyTorch {other[0] / size * 1e9:7.2f} {other[1] / size * 1e9:7.2f}"
        print(f"\n{layer.type:24}{str(np.shape(inputs[0])):22}{text}  {case or ''}", end="")

    return run
