"""Layers that run as one give what they give one by one: in whole passes, cut passes, and with hooks."""

import numpy as np
import pytest
from engines_compare import Pair, agree, net_text

from layerforge.core.errors import DeviceError
from layerforge.core.storage import HOST
from layerforge.netdef.types import Phase

try:
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)

FILL = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.3 }'
CONV = f"Convolution c data > c {{ convolution_param {{ num_output: 20 kernel_size: 3 {FILL} }} }}"
IP = f"InnerProduct c data > c {{ inner_product_param {{ num_output: 20 {FILL} }} }}"
NORM, SCALE, RELU = "BatchNorm n c > c", "Scale s c > c { scale_param { bias_term: true } }", "ReLU r c > c"
LEAKY = "ReLU r c > c { relu_param { negative_slope: 0.1 } }"
KEPT = "BatchNorm n c > c { batch_norm_param { use_global_stats: true } }"
BEHIND = "Pooling p c > p { pooling_param { kernel_size: 2 stride: 2 } }"
CHAINS = {
    "convolution and ReLU": [CONV, RELU],
    "convolution and leaky ReLU": [CONV, LEAKY],
    "inner product and ReLU": [IP, RELU],
    "convolution, norm, scale, ReLU": [CONV, NORM, SCALE, RELU],
    "convolution, norm, scale": [CONV, NORM, SCALE],
    "convolution and norm": [CONV, NORM],
    "convolution, norm, ReLU": [CONV, NORM, RELU],
    "convolution and scale": [CONV, SCALE],
    "convolution, kept norm, scale, ReLU": [CONV, KEPT, SCALE, RELU],
}


def chain(name, phase=Phase.TRAIN, outputs=20):
    text = net_text(*CHAINS[name], *([BEHIND] if name[0] == "c" else []))
    pair = Pair(text.replace("num_output: 20", f"num_output: {outputs}"), phase)
    for net in pair.nets:
        if "n" in net.params:
            rng = np.random.default_rng(5)
            for blob, low in zip(net.params["n"], (-1, 0.5, 2)):
                blob.data.set(rng.uniform(low, low + 1, blob.shape).astype(np.float32))
    return pair


@pytest.mark.parametrize("outputs", [20, 32])  # channels last, and in blocks
@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.TEST])
@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_in_place_is_one_step_and_agrees(name, phase, outputs):
    pair = chain(name, phase, outputs)
    covering = next(step for step in pair.engine.steps if 1 in step.layers)
    assert covering.layers == tuple(range(1, 1 + len(CHAINS[name])))
    for _ in range(3):
        pair.run()


@pytest.mark.parametrize("name", CHAINS)
def test_inference_without_gradients_agrees(name):
    text = net_text(*CHAINS[name]).replace("force_backward: true", "")
    pair = Pair(text, Phase.TEST)
    for net in pair.nets:
        if "n" in net.params:
            rng = np.random.default_rng(5)
            for blob, low in zip(net.params["n"], (-1, 0.5, 2)):
                blob.data.set(rng.uniform(low, low + 1, blob.shape).astype(np.float32))
    pair.forward()
    for each in (*pair.nets[0].learnable, *pair.nets[1].learnable):
        each.blob.data.set(each.blob.data.array(HOST) * 1.5)
    pair.forward()


@pytest.mark.parametrize("name", CHAINS)
def test_a_pass_that_ends_within_a_step_shows_what_lies_there(name):
    pair = chain(name)
    for end in range(1, 1 + len(CHAINS[name])):
        pair.feed()
        for net in pair.nets:
            net.forward_from_to(0, end)
        agree(f"c after {end}", *(net.blobs["c"].data.array(HOST) for net in pair.nets))
        dy = pair.rng.standard_normal(pair.plain.blobs["c"].shape).astype(np.float32)
        for net in pair.nets:
            net.clear_gradients()
            net.blobs["c"].diff.set(dy)
            net.backward_from_to(end, 0)
        agree("data", *(net.blobs["data"].diff.array(HOST) for net in pair.nets))
    pair.run()


@pytest.mark.parametrize("name", CHAINS)
def test_backward_from_within_a_step_after_a_whole_pass(name):
    pair = chain(name)
    for start in range(1, 1 + len(CHAINS[name])):
        pair.forward()
        dy = pair.rng.standard_normal(pair.plain.blobs["c"].shape).astype(np.float32)
        for net in pair.nets:
            net.clear_gradients()
            net.blobs["c"].diff.set(dy)
            net.backward_from_to(start, 0)
        agree("data", *(net.blobs["data"].diff.array(HOST) for net in pair.nets))
        pair.compare("data")


@pytest.mark.parametrize("name", CHAINS)
def test_hooks_see_every_layer(name):
    pair = chain(name)
    seen = {id(net): [] for net in pair.nets}
    for net in pair.nets:
        net.hooks["after_forward"].append(
            lambda i, net=net: seen[id(net)].append(net.blobs["c"].data.array(HOST).copy())
        )
    pair.run()
    for i, (one, other) in enumerate(zip(*seen.values())):
        if i:  # before the first layer that writes it, it holds anything
            agree(f"c after layer {i}", one, other)


@pytest.mark.parametrize("norm", [[NORM, SCALE, RELU], [NORM], [SCALE, RELU], [SCALE], [KEPT, SCALE]])
@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.TEST])
def test_a_normalisation_in_place_behind_another_layer_agrees(norm, phase):
    pair = Pair(net_text("Pooling p data > c { pooling_param { kernel_size: 2 } }", *norm), phase)
    assert (
        set(pair.lowered().values()) == {"layer", "ONEDNN"} and pair.lowered()[pair.engine.layer_names[-1]] == "ONEDNN"
    )
    pair.run()
    pair.run()


@pytest.mark.parametrize(
    "kind",
    [
        "BatchNorm n data > n",
        "BatchNorm n data > n { batch_norm_param { scale_bias: true } }",
        "Scale n data > n { scale_param { bias_term: true } }",
        "Scale n data > n",
        "BatchNorm n data > n { batch_norm_param { moving_average_fraction: 0.9 eps: 0.1 } }",
    ],
)
@pytest.mark.parametrize("shape", [(4, 6), (3, 20, 5), (2, 6, 9, 8), (2, 3, 4, 3, 5)])
def test_a_normalisation_alone_agrees(kind, shape):
    pair = Pair(net_text(kind, shape=shape))
    assert pair.lowered()["n"] == "ONEDNN", pair.refusals()
    pair.run()
    pair.run()


SHORT = "Convolution a data > a { convolution_param { num_output: 20 kernel_size: 3 } }"
SUM = "Eltwise j a c > j"


@pytest.mark.parametrize("behind", [[], [NORM, SCALE], [NORM]])
@pytest.mark.parametrize("relu", [[], ["ReLU r j > j"], ["ReLU r j > j { relu_param { negative_slope: 0.2 } }"]])
def test_a_residual_sum_joins_the_convolution_in_inference(behind, relu):
    text = net_text(SHORT, CONV, *behind, SUM, *relu).replace("force_backward: true", "")
    pair = Pair(text, Phase.TEST, keep="outputs")
    for net in pair.nets:
        for blob in net.params.get("n", []):
            blob.data.set(np.full(blob.shape, 0.7, np.float32))
    joined = pair.engine.steps[-1]
    assert joined.layers == tuple(range(3, 5 + len(behind) + len(relu)))  # behind input, split and shortcut
    pair.forward()
    pair.forward()


def test_layers_behind_that_cannot_be_fused_do_not_cost_the_engine():
    norm = "BatchNorm n c > c { batch_norm_param { eps: 0 } }"
    pair = Pair(net_text(CONV, norm))
    assert pair.lowered()["c"] == "ONEDNN" and pair.lowered()["n"] == "layer"
    pair.run()


POOL, DROP = "Pooling p c > p { pooling_param { kernel_size: 2 stride: 2 } }", "Dropout d p > p"
MOVED = "{ power_param { scale: 2 shift: 1 } }"
LEFT = {
    "behind what keeps signs": [CONV, RELU, POOL, DROP, f"Power o p > p {MOVED}"],
    "by a view": [CONV, NORM, RELU, "Flatten f c > f", f"Power o f > f {MOVED}"],
}


@pytest.mark.parametrize("layers", LEFT.values(), ids=LEFT)
def test_a_relu_whose_output_is_overwritten_follows_what_is_left_as_in_caffe(layers):
    pair = Pair(net_text(*layers), keep="outputs")
    for net in pair.nets:
        net.blobs["data"].data.set(np.random.default_rng(2).standard_normal(net.blobs["data"].shape).astype(np.float32))
        net.forward()
        net.blobs[net.outputs[0]].diff.set(np.linspace(-1, 1, net.blobs[net.outputs[0]].count, dtype=np.float32))
        net.backward()
    agree("c.0.diff", *(net.params["c"][0].diff.array(HOST) for net in pair.nets), atol=3e-4)
