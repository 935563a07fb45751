"""Layers between products stay channels last: they give what they give on their own, and nothing is turned over."""

import pytest
from cpu_kernels import needs_compiler
from cudnn_cases import CASES, NET, layer, part
from cudnn_nets import compare, make, near, results, taken

from layerforge.core.storage import Traffic
from layerforge.netdef.types import Phase


@pytest.fixture(autouse=True)
def compiler():
    needs_compiler()


@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_layer_gives_and_learns_the_same(text):
    net, _ = make(NET % text, force=True)
    compare(results(net), results(make(NET % text, engine=False, force=True)[0]), 1e-4)
    types = {net.layers[net.layer_names.index(name)].type for names in taken(net) for name in names}
    assert {line.split('type: "')[1].split('"')[0] for line in text.split("\n") if 'type: "' in line} <= types


@pytest.mark.parametrize("kind, rtol", [("BF16", 0.15), ("FP16", 0.03)])
@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_16_bit_types_stay_near(text, kind, rtol):
    near(results(make(NET % text, kind=kind)[0]), results(make(NET % text, engine=False)[0]), rtol)


@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_values_are_turned_over_at_both_ends_alone(text):
    net, _ = make(NET % text, kind="BF16", keep="outputs")
    net.forward()
    net.backward()  # memory is taken, and what only the host has comes over
    net.clear_gradients()
    net.blobs["data"].data.wrote(net.backend.representation)
    weights = 1 + text.count("num_output") + 1
    before = Traffic.copies
    net.forward()
    assert Traffic.copies - before == 3  # the data, what the loss reads, and the loss itself
    net.backward()
    for each in net.learnable:
        each.blob.data.wrote(each.blob.data.home if not each.blob.data.home.plain else net.backend.representation)
    before = Traffic.copies
    net.blobs["data"].data.wrote(net.backend.representation)
    net.forward()
    assert Traffic.copies - before == 3 + weights  # and the weights, that have moved, in 16 bits


def test_dropout_that_drops_nothing_is_no_work():
    text = NET % (layer("Pooling", "pooling_param { kernel_size: 2 }") + layer("Dropout", bottoms=("out",)))
    net, _ = make(text, phase=Phase.TEST)
    step = next(step for step in net.steps if net.layers[step.layers[0]].type == "Dropout")
    assert step.engine == "CUDNN" and not step.kernels()
    compare(results(net), results(make(text, engine=False, phase=Phase.TEST)[0]), 1e-4)


REFUSED = {
    "it has no stochastic pooling": layer("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 }"),
    "it has no squares of places": layer("LRN", "lrn_param { norm_region: WITHIN_CHANNEL }"),
    "its kernel has no limits": layer("ReLU", "relu_param { relu6: true }"),
    "it has no MAX": part("b") + layer("Eltwise", "eltwise_param { operation: MAX }", ("a", "b")),
    "axis 2, it joins channels": part("b") + layer("Concat", "concat_param { axis: 2 }", ("a", "b")),
    "its bottoms lie in plain order": layer("TanH", top="t") + layer("ReLU", bottoms=("t",)),
    "no rule for this type": layer("TanH"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_the_engine_does_not_take_is_said(reason):
    net, _ = make(NET % REFUSED[reason])
    assert any(r.reason == reason for choice in net.plan.choices for r in choice.refusals)
    net.forward()
    net.backward()
