"""Layers as cuDNN graphs give what they give on their own; the graphs are computed with NumPy here."""

import numpy as np
import pytest
from cpu_kernels import needs_compiler
from cudnn_nets import compare, feed, make, near, results, taken

from layerforge.core.errors import NetError
from layerforge.core.storage import HOST
from layerforge.engines.cudnn.graphs import BiasGradient, Convolution, DataGradient, WeightGradient
from layerforge.engines.cudnn.plans import NoPlan
from layerforge.graph.explain import explain
from layerforge.net.passes import Passes

HEAD = """
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 2 dim: 3 dim: 9 dim: 8 } shape { dim: 2 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 stride: 2 weight_filler { type: "xavier" }
                      bias_filler { type: "constant" value: 0.1 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  convolution_param { num_output: 6 kernel_size: 3 group: 2 dilation: 2 pad: 2 bias_term: false
                      weight_filler { type: "xavier" } } }
"""
TAIL = """
layer { name: "ip1" type: "InnerProduct" bottom: "conv2" top: "ip1"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""
POOL = 'layer { name: "pool" type: "Pooling" bottom: "conv2" top: "pool" pooling_param { kernel_size: 2 } }'


@pytest.fixture(autouse=True)
def compiler():
    needs_compiler()


POOLED = HEAD + POOL + TAIL.replace('"conv2"', '"pool"')


@pytest.mark.parametrize("text", [HEAD + TAIL, POOLED], ids=["plain", "pooled"])
@pytest.mark.parametrize("force", [False, True])
def test_layers_give_what_they_give_on_their_own(text, force):
    net, _ = make(text, force=force)
    plain, _ = make(text, engine=False, force=force)
    compare(results(net), results(plain), 1e-4)
    names = [each for each in taken(net) if each != ["pool"]]
    assert names == [["conv1", "relu1"], ["conv2"], ["ip1", "relu2"], ["ip2"]]


@pytest.mark.parametrize("kind, rtol", [("BF16", 0.1), ("FP16", 0.02), ("TF32", 1e-4)])
def test_16_bit_types_stay_near(kind, rtol):
    near(results(make(HEAD + TAIL, kind=kind)[0]), results(make(HEAD + TAIL, engine=False)[0]), rtol)


def test_gradients_add_up_over_passes():
    net, _ = make(HEAD + TAIL)
    once = results(net)
    twice = results(net)
    for each in net.learnable:
        np.testing.assert_allclose(twice[f"d {each.name}"], 2 * once[f"d {each.name}"], rtol=1e-5, atol=1e-7)


def test_no_conversion_lies_between_convolutions():
    net, _ = make(HEAD + TAIL)
    net.forward()
    conv1 = net.blobs["conv1"].data
    assert net.backend.representation not in conv1.fresh() and len(conv1.fresh()) == 1


def test_reshape_is_planned_again_and_may_be_refused():
    refuses = lambda key: "the batch is odd" if isinstance(key, Convolution) and key.geometry.x[0] % 2 else ""  # noqa: E731
    net, _ = make(HEAD + TAIL, refuses=refuses)
    plain, _ = make(HEAD + TAIL, engine=False)
    for batch in (4, 3, 2):
        x = np.random.default_rng(batch).normal(size=(batch, 3, 9, 8)).astype(np.float32)
        for each in (net, plain):
            feed(each, x)
        compare(results(net), results(plain), 1e-4)
        steps = [step for step in net.steps if step.engine == "CUDNN"]
        assert all(step.refusal == ("the batch is odd" if batch == 3 else "") for step in steps)


def test_cut_pass_runs_by_the_parts():
    net, runner = make(HEAD + TAIL)
    plain, _ = make(HEAD + TAIL, engine=False)
    for each in (net, plain):
        each.forward()
        each.forward_from_to(1, 1)  # the convolution without its ReLU
    np.testing.assert_allclose(
        net.blobs["conv1"].data.array(HOST), plain.blobs["conv1"].data.array(HOST), rtol=1e-4, atol=1e-5
    )


def test_pass_with_the_engine_can_be_recorded():
    net, runner = make(HEAD + TAIL, records=True)
    passes, other = Passes(net), make(HEAD + TAIL, engine=False)[0]
    for _ in range(5):
        for each in (net, other):
            each.clear_gradients()
        loss = passes.forward_backward()
    other.forward()
    other.backward()
    assert loss == pytest.approx(float(other.blobs["loss"].data.array(HOST)[0]), rel=1e-5)
    for mine, theirs in zip(net.learnable, other.learnable):
        np.testing.assert_allclose(mine.blob.diff.array(HOST), theirs.blob.diff.array(HOST), rtol=1e-3, atol=1e-5)
    assert passes.launches == 3 and not passes.reasons


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ('"ReLU" bottom: "conv1" top: "conv1"', '"TanH" bottom: "conv1" top: "conv1"', "no rule for this type"),
        ("num_output: 7", "num_output: 7 transpose: true", "transposed weights"),
    ],
)
def test_reasons_are_kept(old, new, reason):
    net, _ = make((HEAD + TAIL).replace(old, new))
    assert any(r.reason == reason for choice in net.plan.choices for r in choice.refusals)


def test_pinned_engine_that_refuses_is_an_error():
    text = (HEAD + TAIL).replace("num_output: 8", "num_output: 8 engine: CUDNN")
    with pytest.raises(NetError, match="engine CUDNN refuses: cuDNN has no plan"):
        make(text, refuses=lambda key: "cuDNN has no plan")


@pytest.mark.parametrize("kind", [Convolution, WeightGradient, DataGradient, BiasGradient])
def test_graph_without_a_right_plan_is_left_to_the_layers_and_the_log_says_so(kind, caplog):
    net, runner = make(HEAD + TAIL)
    run = runner.run

    def refuse(key, arrays):
        outputs = key.y[1] if isinstance(key, BiasGradient) else key.geometry.w[0]
        if isinstance(key, kind) and outputs == 7:
            raise NoPlan("no plan of cuDNN computes it right")
        run(key, arrays)

    runner.run = refuse
    compare(results(net), results(make(HEAD + TAIL, engine=False)[0]), 1e-4)
    assert caplog.messages == ["cuDNN is not used for 'ip1', 'relu2': no plan of cuDNN computes it right"]
    net.clear_gradients()
    compare(results(net), results(make(HEAD + TAIL, engine=False)[0]), 1e-4)
    step = next(step for step in net.steps if step.engine == "CUDNN" and step.refusal)
    assert [part.layer.name for part in step.parts] == ["ip1", "relu2"] and len(caplog.messages) == 1


def test_weights_are_kept_in_float32_in_the_order_that_cudnn_reads():
    net, _ = make(HEAD + TAIL, kind="BF16")
    homes = {name: blobs[0].data.home for name, blobs in net.params.items()}
    assert homes["conv1"].plain  # its fourth channel is padding
    assert [homes[name].name for name in ("conv2", "ip1", "ip2")] == ["channels last, FP32"] * 3


def test_plan_is_explained():
    net, _ = make(HEAD + TAIL, kind="BF16")
    rows = [row for row in explain(net.plan, net.layers) if row.layers == ("conv1", "relu1")]
    kernels = [(kernel.run, kernel.name, kernel.impl) for kernel in rows[0].kernels]
    assert kernels[0] == ("forward", "convolution", "NumPy") and ("backward", "ReLU gradient", "CUDA C") in kernels
    assert dict(rows[0].kernels[0].layouts)["y"] == "channels last, BF16" and rows[0].flops > 0
