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
    from layerforge.engines.onednn.compiled import compiler
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


PYTORCH = {  # places a side, mean, deviation, mean of dy → distances of dx, dγ, dβ from float64
    (112, 0, 1, 0): (5.72e-08, 1.28e-06, 6.74e-07),
    (112, 3, 0.5, 0.3): (7.97e-08, 2.09e-05, 6.82e-08),
    (56, 0, 1, 0): (6.14e-08, 4.57e-07, 2.22e-07),
    (56, 3, 0.5, 0.3): (7.41e-08, 7.68e-06, 5.23e-08),
    (28, 0, 1, 0): (5.91e-08, 1.93e-07, 1.37e-07),
    (28, 3, 0.5, 0.3): (7.67e-08, 3.17e-06, 3.21e-08),
    (14, 0, 1, 0): (6.54e-08, 1.51e-07, 1.16e-07),
    (14, 3, 0.5, 0.3): (7.11e-08, 1.89e-06, 3.57e-08),
    (7, 0, 1, 0): (6.52e-08, 9.88e-08, 9.07e-08),
    (7, 3, 0.5, 0.3): (6.86e-08, 8.96e-07, 3.02e-08),
}
"""Measured with PyTorch 2.13.0 on the CPU (x86-64, 2 threads), on the very numbers that the test makes: eight samples,
the map sizes of ResNet-50; x.grad, weight.grad and bias.grad of torch.nn.functional.batch_norm in training."""


@pytest.mark.skipif(compiler() is None, reason="no compiled loops: llvmlite or libgomp is missing")
@pytest.mark.parametrize("case", PYTORCH)
def test_gradients_of_batch_norm_are_no_further_from_float64_than_pytorchs(case):
    size, mean, deviation, offset = case
    shape, eps, axes = (8, 16, size, size), 1e-5, (0, 2, 3)
    rng = np.random.default_rng(size)
    x = (rng.standard_normal(shape) * deviation + mean).astype(np.float32)
    dy = (rng.standard_normal(shape) + offset).astype(np.float32)
    gamma, beta = (rng.uniform(low, low + 1, shape[1]).astype(np.float32) for low in (0.5, -0.5))
    same = "Convolution c data > c { convolution_param { num_output: 16 kernel_size: 1 bias_term: false } }"
    norm = "BatchNorm n c > c", "Scale s c > c { scale_param { bias_term: true } }"
    net = build_net(parse_net(net_text(same, *norm, shape=shape)), Phase.TRAIN)
    for blob, values in zip((*net.params["c"], *net.params["s"]), (np.eye(16, dtype=np.float32), gamma, beta)):
        blob.data.set(values)
    net.blobs["data"].data.set(x)
    net.forward()
    net.blobs["c"].diff.set(dy)
    net.clear_gradients()
    net.backward()
    x, dy = x.astype(np.float64), dy.astype(np.float64)
    centred = x - x.mean(axes, keepdims=True)
    inverse = 1 / np.sqrt((centred**2).mean(axes, keepdims=True) + eps)
    hat = centred * inverse
    scale, shift = (dy * hat).sum(axes), dy.sum(axes)
    middle = (shift[:, None, None] + hat * scale[:, None, None]) * (shape[1] / x.size)
    dx = gamma.astype(np.float64)[:, None, None] * inverse * (dy - middle)
    found = net.blobs["c"], *net.params["s"]
    for blob, want, theirs in zip(found, (dx.ravel(), scale, shift), PYTORCH[case]):
        assert distance(blob.diff.array(HOST), want) <= theirs


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
