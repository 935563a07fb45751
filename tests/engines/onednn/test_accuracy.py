"""BatchNorm's sums lose no digits on large maps, and a step costs little beside its kernel."""

import time

import numpy as np
import pytest
from engines_compare import net_text
from threadpoolctl import threadpool_limits

from layerforge.core.errors import DeviceError
from layerforge.core.storage import HOST
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

try:
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)


def distance(got, want):
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


@pytest.mark.parametrize("blocked", [False, True])
def test_the_gradients_of_batch_norm_are_those_of_float64(blocked):
    shape, eps = (4, 16, 56, 56), 1e-5
    first = ["LRN p data > p { lrn_param { alpha: 0 } }"] if blocked else []  # its kernel blocks the channels
    norm = f"BatchNorm n {'p' if blocked else 'data'} > n", "Scale s n > n { scale_param { bias_term: true } }"
    net = build_net(parse_net(net_text(*first, *norm, shape=shape)), Phase.TRAIN)
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(shape) * 0.5 + 3).astype(np.float32)
    dy = (rng.standard_normal(shape) + 0.3).astype(np.float32)
    net.blobs["data"].data.set(x)
    net.forward()
    net.blobs["n"].diff.set(dy)
    net.clear_gradients()
    net.backward()
    x, dy, axes = x.astype(np.float64), dy.astype(np.float64), (0, 2, 3)
    centred = x - x.mean(axes, keepdims=True)
    inverse = 1 / np.sqrt((centred**2).mean(axes, keepdims=True) + eps)
    hat, total = centred * inverse, x.size / shape[1]
    scale, shift = (dy * hat).sum(axes), dy.sum(axes)
    dx = inverse * (dy - (shift[:, None, None] + hat * scale[:, None, None]) / total)
    got = net.blobs["p" if blocked else "data"].diff.array(HOST).reshape(shape)
    assert distance(got, dx) < 2e-7
    assert distance(net.params["s"][1].diff.array(HOST), shift) < 2e-7
    assert distance(net.params["s"][0].diff.array(HOST), scale) < 1e-5


def test_a_step_costs_less_than_8_microseconds_beside_its_kernel():
    lines = [f"ReLU r{i} {f'r{i - 1}' if i else 'data'} > r{i}" for i in range(200)]
    text = net_text(*lines, shape=(1, 16, 1, 1)).replace("force_backward: true", "")
    net = build_net(parse_net(text), Phase.TEST)
    net.forward()
    kernels = [step.work.forwards[0] for step in net.steps if step.engine == "ONEDNN"]
    assert len(kernels) == 200

    def bare():
        for kernel in kernels:
            kernel.execute()

    def fastest(run):
        times = []
        for _ in range(30):
            start = time.thread_time()
            run()
            times.append(time.thread_time() - start)
        return min(times)

    with threadpool_limits(1):  # a kernel of 16 values that waits for other threads takes any time
        assert fastest(net.forward) - fastest(bare) < 200 * 8e-6
