"""Whole nets as ONNX: what is left out, names, folding, batches, errors; agreement with ONNX Runtime."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_cases import assert_agrees, run_onnx, set_values, values

from layerforge.core.errors import DataError, DeviceError, NetError
from layerforge.core.random import Random
from layerforge.io.onnx.export import export_onnx, onnx_model
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net, read_net

ZOO = Path(__file__).parents[3] / "zoo"
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 8 } } }\n'
CONV = """layer { name: "%s" type: "%s" bottom: "data" top: "%s" convolution_param { num_output: 4 kernel_size: 3 %s
                   weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 1 } } }\n"""
NORM = """
layer { name: "bn" type: "BatchNorm" bottom: "x" top: "x" batch_norm_param { %s } }
layer { name: "sc" type: "Scale" bottom: "x" top: "x" scale_param { bias_term: true filler { type: "gaussian" std: 1 }
        bias_filler { type: "gaussian" std: 1 } } }
layer { name: "relu" type: "ReLU" bottom: "x" top: "x" }
"""
LOSSES = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
        shape { dim: 2 dim: 6 } shape { dim: 2 } data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "score" inner_product_param { num_output: 3
        weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" %s }
layer { name: "accuracy" type: "Accuracy" bottom: "score" bottom: "label" top: "accuracy" include { phase: TEST } }
"""


def build(text, phase=Phase.TEST):
    """A net with statistics that a BatchNorm may have."""
    net, rng = build_net(parse_net(text), phase, engines=(), rng=Random(5)), np.random.default_rng(3)
    for name, layer in zip(net.layer_names, net.layers):
        if layer.type == "BatchNorm":
            means, variances, weight = net.params[name][:3]
            set_values(means, rng.normal(size=means.shape))
            set_values(variances, rng.uniform(1, 2, variances.shape))
            set_values(weight, [2.5])
    return net


def ops(model):
    return [node.op_type for node in model.graph.node]


def names(values):
    return [value.name for value in values]


@pytest.mark.parametrize("opset", [13, 17, 21])
@pytest.mark.parametrize("zoo", ["lenet", "digits", "cifar10_quick"])
def test_small_nets_of_the_zoo_agree(zoo, opset):
    assert_agrees(build_net(read_net(ZOO / zoo / "deploy.prototxt"), engines=(), rng=Random(5)), opset=opset)


def test_losses_and_metrics_are_left_out_with_their_labels():
    net = build(LOSSES % "")
    model = onnx_model(net)
    assert (names(model.graph.input), names(model.graph.output), ops(model)) == (["data"], ["score"], ["Gemm"])
    assert_agrees(net)


def test_the_train_phase_may_be_exported_too():
    assert names(onnx_model(build(LOSSES % "", Phase.TRAIN)).graph.output) == ["score"]


def test_outputs_end_the_graph():
    net = build(INPUT + CONV % ("a", "Convolution", "a", "") + CONV % ("b", "Convolution", "b", ""))
    assert names(onnx_model(net).graph.output) == ["a", "b"]
    assert len(onnx_model(net, outputs=["b"]).graph.node) == 1
    assert_agrees(net, outputs=["b"])


def test_values_have_the_names_of_their_blobs():
    model = onnx_model(build(INPUT + CONV % ("conv", "Convolution", "feature", "")))
    assert (names(model.graph.output), [t.name for t in model.graph.initializer]) == (["feature"], ["conv.0", "conv.1"])


def test_a_blob_changed_in_place_behind_the_input_has_another_name_as_output():
    text = INPUT + 'layer { name: "r" type: "ReLU" bottom: "data" top: "data" }'
    assert names(onnx_model(build(text)).graph.output) == ["data/output"]
    assert_agrees(build(text))


def test_an_output_that_two_names_share_is_given_twice():
    text = INPUT + 'layer { name: "s" type: "Split" bottom: "data" top: "a" top: "b" }'
    assert names(onnx_model(build(text)).graph.output) == ["a", "b"]
    assert_agrees(build(text))


@pytest.mark.parametrize("bn", ["", "eps: 0.01", "use_global_stats: true"])
@pytest.mark.parametrize(("lower", "more"), [
    ("Convolution", ""), ("Convolution", "bias_term: false"), ("Deconvolution", "stride: 2"),
    ("Deconvolution", "group: 1 bias_term: false")])
def test_batch_norm_and_scale_fold_into_the_weights_below(lower, more, bn):
    net = build(INPUT + CONV % ("conv", lower, "x", more) + NORM % bn)
    assert ops(onnx_model(net)) == ["Conv" if lower == "Convolution" else "ConvTranspose", "Relu"]
    assert "BatchNormalization" in ops(onnx_model(net, folded=False))
    assert_agrees(net)
    assert_agrees(net, folded=False)


@pytest.mark.parametrize("group", [1, 3])
def test_groups_of_a_deconvolution_fold(group):
    text = INPUT + CONV.replace("num_output: 4", "num_output: 6") % ("conv", "Deconvolution", "x", f"group: {group}")
    net = build(text + NORM % "")
    assert ops(onnx_model(net)) == ["ConvTranspose", "Relu"]
    assert_agrees(net)


@pytest.mark.parametrize("transpose", ["true", "false"])
def test_an_inner_product_folds(transpose):
    net = build(INPUT + f"""
        layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "x" inner_product_param {{
                 num_output: 5 transpose: {transpose} weight_filler {{ type: "xavier" }} }} }}""" + NORM % "")
    assert ops(onnx_model(net)) == ["Flatten", "Gemm", "Relu"]
    assert_agrees(net)


def test_statistics_of_the_batch_do_not_fold():
    net = build(INPUT + CONV % ("conv", "Convolution", "x", "") + NORM % "use_global_stats: false")
    assert "ReduceMean" in ops(onnx_model(net))
    assert_agrees(net)


def test_what_is_read_twice_does_not_fold():
    net = build(INPUT + CONV % ("conv", "Convolution", "y", "") + """
        layer { name: "bn" type: "BatchNorm" bottom: "y" top: "x" }
        layer { name: "sum" type: "Eltwise" bottom: "x" bottom: "y" top: "sum" }""")
    assert ops(onnx_model(net)) == ["Conv", "BatchNormalization", "Add"]
    assert_agrees(net)


def test_a_wanted_output_does_not_fold():
    net = build(INPUT + CONV % ("conv", "Convolution", "y", "") + """
        layer { name: "bn" type: "BatchNorm" bottom: "y" top: "x" }""")
    assert ops(onnx_model(net)) == ["Conv"]
    assert_agrees(net, outputs=["x", "y"])


def test_one_exported_net_takes_any_batch():
    text = (ZOO / "digits" / "deploy.prototxt").read_text()
    small, large = (build_net(parse_net(text), engines=(), rng=Random(5)) for _ in range(2))
    [name] = large.inputs
    large.blobs[name].reshape((5, *large.blobs[name].shape[1:]))
    large.reshape()
    for key, blobs in small.params.items():
        for mine, theirs in zip(blobs, large.params[key]):
            set_values(theirs, values(mine))
    model = onnx_model(small, dynamic_batch=True)
    batch = np.random.default_rng(0).normal(size=large.blobs[name].shape).astype(np.float32)
    set_values(large.blobs[name], batch)
    large.forward()
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    for output, found in run_onnx(model, {name: batch}).items():
        np.testing.assert_allclose(found, values(large.blobs[output]), rtol=1e-4, atol=1e-5)


def test_the_sequence_length_of_a_dynamic_net_is_free():
    text = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 3 dim: 2 dim: 4 } } }
              layer { name: "c" type: "Input" top: "c" input_param { shape { dim: 3 dim: 2 } } }
              layer { name: "l" type: "LSTM" bottom: "x" bottom: "c" top: "y" recurrent_param { num_output: 5
                      weight_filler { type: "gaussian" std: 1 } } }"""
    model = onnx_model(build(text), dynamic_batch=True)
    feed = {"x": np.ones((6, 2, 4), np.float32), "c": np.ones((6, 2), np.float32)}
    assert run_onnx(model, feed)["y"].shape == (6, 2, 5)


def test_sequences_begin_where_cont_is_0():
    text = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 2 dim: 3 } } }
              layer { name: "c" type: "Input" top: "c" input_param { shape { dim: 4 dim: 2 } } }
              layer { name: "l" type: "%s" bottom: "x" bottom: "c" top: "y" recurrent_param { num_output: 5
                      weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 } } }"""
    feed = {"x": np.random.default_rng(1).normal(size=(4, 2, 3)), "c": np.array([[0, 0], [1, 0], [0, 1], [1, 1]])}
    for name in ("LSTM", "RNN", "GRU"):
        assert_agrees(build(text % name), feed)


def test_shared_parameters_are_written_once():
    layer = """layer { name: "%s" type: "Convolution" bottom: "data" top: "%s" param { name: "w" } param { name: "b" }
                       convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }"""
    net = build(INPUT + layer % ("a", "a") + layer % ("b", "b"))
    assert [tensor.name for tensor in onnx_model(net).graph.initializer] == ["a.0", "a.1"]
    assert_agrees(net)


def test_chance_is_refused():
    text = INPUT + 'layer { name: "d" type: "Dropout" bottom: "data" top: "y" }'
    assert_agrees(build(text))
    with pytest.raises(NetError, match="by chance in the TRAIN phase"):
        onnx_model(build(text, Phase.TRAIN))


def test_layers_that_onnx_lacks_are_all_named():
    text = INPUT + """
        layer { name: "f" type: "Input" top: "f" input_param { shape { dim: 2 dim: 2 dim: 9 dim: 8 } } }
        layer { name: "warp" type: "FlowWarp" bottom: "data" bottom: "f" top: "w" }
        layer { name: "like" type: "Correlation" bottom: "data" bottom: "w" top: "c"
                correlation_param { kernel_size: 1 max_displacement: 1 pad: 1 } }"""
    with pytest.raises(NetError, match=r"(?s)2 layers cannot be exported.*'warp' \(FlowWarp\).*'like' \(Correlation\)"):
        onnx_model(build(text))


def test_a_layer_that_onnx_cannot_say_with_these_values_tells_why():
    text = 'layer { name: "p" type: "MirrorPad" bottom: "data" top: "y" mirror_pad_param { mode: "SYMMETRIC" %s } }'
    with pytest.raises(NetError, match="'p' .*SYMMETRIC has no counterpart"):
        onnx_model(build(INPUT + text % ("paddings: 0 " * 8)))


def test_a_loss_as_output_is_refused():
    with pytest.raises(NetError, match="losses and metrics are not exported"):
        onnx_model(build(LOSSES % ""), outputs=["loss"])


def test_an_unknown_output_suggests_the_nearest():
    with pytest.raises(NetError, match=r"no blob 'scor'.*\n.*'score'"):
        onnx_model(build(LOSSES % ""), outputs=["scor"])


@pytest.mark.parametrize("opset", [12, 22])
def test_the_opset_has_bounds(opset):
    with pytest.raises(NetError, match=f"opset {opset} is not between 13 and 21"):
        onnx_model(build(LOSSES % ""), opset=opset)


def test_the_file_is_a_checked_model(tmp_path):
    export_onnx(build(LOSSES % ""), tmp_path / "net.onnx", opset=15)
    model = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert (model.opset_import[0].version, model.producer_name) == (15, "layerforge")


def test_the_same_net_gives_the_same_bytes():
    net = build(INPUT + CONV % ("conv", "Convolution", "x", "") + NORM % "")
    assert onnx_model(net).SerializeToString() == onnx_model(net).SerializeToString()


def test_a_folder_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        export_onnx(build(LOSSES % ""), tmp_path / "nowhere" / "net.onnx")


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DeviceError, match=r"layerforge\[onnx\]"):
        onnx_model(build(LOSSES % ""))
