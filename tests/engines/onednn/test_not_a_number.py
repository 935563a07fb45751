"""NaN is not hidden: what spoils a net shows in its outputs, as in Caffe."""

import numpy as np
import pytest
from engines_compare import net_text

from layerforge.core.errors import DeviceError
from layerforge.core.random import Random
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

FILL = 'weight_filler { type: "xavier" }'
CONV = f"convolution_param {{ num_output: 16 kernel_size: 1 {FILL} }}"
SCALE = "Scale s y > y { scale_param { bias_term: true } }"
NETS = {
    "alone": ["ReLU r data > y"],
    "leaky": ["ReLU r data > y { relu_param { negative_slope: 0.1 } }"],
    "convolution": [f"Convolution c data > y {{ {CONV} }}", "ReLU r y > y"],
    "deconvolution": [f"Deconvolution c data > y {{ {CONV} }}", "ReLU r y > y"],
    "inner product": [f"InnerProduct i data > y {{ inner_product_param {{ num_output: 4 {FILL} }} }}", "ReLU r y > y"],
    "sum": [f"Convolution c data > c {{ {CONV} }}", f"Convolution d data > d {{ {CONV} }}", "Eltwise e c d > y",
            "ReLU r y > y"],
    "sum with coefficients": [
        f"Convolution c data > c {{ {CONV} }}", "Eltwise e c c > y { eltwise_param { coeff: 2 coeff: 1 } }",
        "ReLU r y > y",
    ],
    "up to 6": ["ReLU6 r data > y"],
    "up to 6, in place": [f"Convolution c data > y {{ {CONV} }}", "ReLU6 r y > y"],
    "up to 6 of few values": [f"InnerProduct i data > y {{ inner_product_param {{ num_output: 3 {FILL} }} }}",
                              "ReLU6 r y > y"],
    "normalisation of rows": [f"InnerProduct i data > y {{ inner_product_param {{ num_output: 4 {FILL} }} }}",
                              "BatchNorm n y > y", SCALE, "ReLU r y > y"],
    "normalisation alone": ["BatchNorm n data > y", "ReLU r y > y"],
    "kept statistics": [f"Convolution c data > y {{ {CONV} }}",
                        "BatchNorm n y > y { batch_norm_param { use_global_stats: true } }", "Scale s y > y",
                        "ReLU r y > y"],
    "normalisation": [f"Convolution c data > y {{ {CONV} }}", "BatchNorm n y > y", SCALE, "ReLU r y > y"],
}


def nets(lines, phase):
    text = net_text(*lines, shape=(2, 16, 5, 5))
    backward = phase is Phase.TRAIN
    made = build_net(parse_net(text), phase, rng=Random(1), keep="outputs", backward=backward)
    plain = build_net(parse_net(text), phase, rng=Random(1), engines=(), backward=backward)
    assert {step.engine for step in made.steps[1:]} == {"ONEDNN"}
    for net in (made, plain):
        for blobs in (net.params.get("n", []),):
            for blob, value in zip(blobs, (0.1, 1.5, 1.0)):
                blob.data.set(np.full(blob.count, value, np.float32))
    return made, plain


def run(net, x):
    net.blobs["data"].data.set(x)
    net.forward()
    return net.blobs["y"].data.array(HOST).copy()


@pytest.fixture(params=["loops", "primitives"])
def made_by(request, monkeypatch):
    """With our own loops, and without, as where llvmlite is missing."""
    if request.param == "primitives":
        for module in ("sweep", "engine", "pointwise"):
            monkeypatch.setattr(f"layerforge.engines.onednn.{module}.compiler", lambda: None)
    elif compiler() is None:
        pytest.skip("no compiled loops: llvmlite or libgomp is missing")


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("name", NETS)
def test_nan_passes_where_the_layers_own_maths_let_it_pass(name, phase, made_by):
    rng = np.random.default_rng(1)
    made, plain = nets(NETS[name], phase)
    x = rng.standard_normal((2, 16, 5, 5)).astype(np.float32)
    np.testing.assert_allclose(*(run(net, x) for net in (made, plain)), rtol=1e-4, atol=1e-5)
    x[1, 3, 2, 2] = np.nan
    got, want = (run(net, x) for net in (made, plain))
    assert np.isnan(want).any()
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))


@pytest.mark.parametrize("blob", [0, 1])
def test_nan_in_a_factor_or_an_offset_passes(blob, made_by):
    made, plain = nets(NETS["normalisation"], Phase.TRAIN)
    x = np.random.default_rng(1).standard_normal((2, 16, 5, 5)).astype(np.float32)
    for net in (made, plain):
        value = net.params["s"][blob].data
        value.set(np.where(np.arange(16) == 5, np.nan, value.array(HOST)))
    got, want = (run(net, x) for net in (made, plain))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    assert np.isnan(got.reshape(2, 16, -1)[:, 5]).all()


@pytest.mark.parametrize("name", ["up to 6, in place", "kept statistics", "normalisation of rows", "normalisation"])
def test_gradients_are_those_of_the_layers_own_maths(name, made_by):
    both = nets(NETS[name], Phase.TRAIN)
    rng = np.random.default_rng(1)
    x, dy = 4 * rng.standard_normal((2, 16, 5, 5)), rng.standard_normal(both[0].blobs["y"].shape)
    for net in both:
        net.blobs["data"].data.set(x.astype(np.float32))
        net.forward()
        net.blobs["y"].diff.set(dy.astype(np.float32))
        net.clear_gradients()
        net.backward()
    for one, other in zip(*(net.learnable for net in both), strict=True):
        got, want = (each.blob.diff.array(HOST) for each in (one, other))
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5 + 1e-4 * np.abs(want).max())


def test_relu6_is_exact_at_its_ends_and_keeps_nan(made_by):
    made, _ = nets(NETS["up to 6"], Phase.TEST)
    x = np.zeros((2, 16, 5, 5), np.float32)
    values = [-np.inf, -1.0, -0.0, 0.0, 1e-30, 5.9999995, 6.0, 6.0000005, np.inf, np.nan]
    x.reshape(-1)[: len(values)] = values
    np.testing.assert_array_equal(run(made, x), np.clip(x, 0, 6).reshape(-1))


def test_relu_is_exact_down_to_the_smallest_normal_number_and_up_to_infinity():
    made, _ = nets(NETS["alone"], Phase.TEST)
    x = np.zeros((2, 16, 5, 5), np.float32)
    limits = np.finfo(np.float32)
    values = [limits.tiny, limits.max, np.inf, 1.0, 1e-30, -limits.tiny, -limits.max, -1.0, -0.0]
    x.reshape(-1)[: len(values)] = values
    np.testing.assert_array_equal(run(made, x), np.maximum(x, 0).reshape(-1))
