"""NetSpec: nets written as Python expressions."""

from __future__ import annotations

import pytest

import layerforge as caffe
from layerforge import layers as L
from layerforge import params as P
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net


def data(*dims):
    return L.Input(shape=dict(dim=list(dims)))


def lenet():
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(shape=[dict(dim=[2, 1, 28, 28]), dict(dim=[2])], ntop=2)
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.ip1 = L.InnerProduct(n.pool1, num_output=10, weight_filler=dict(type="xavier"))
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.loss = L.SoftmaxWithLoss(n.relu1, n.label)
    return n


def test_a_net_of_expressions_builds():
    net = build_net(parse_net(str(lenet().to_proto()), "lenet.prototxt"), Phase.TRAIN)
    assert net.layer_names == ["data", "conv1", "pool1", "ip1", "relu1", "loss"] and net.outputs == ["loss"]
    assert net.blobs["conv1"].shape == (2, 20, 24, 24)


def test_names_of_tops_become_names_of_blobs_and_layers():
    message = lenet().to_proto()
    assert [layer.name for layer in message.layer] == ["data", "conv1", "pool1", "ip1", "relu1", "loss"]
    assert list(message.layer[0].top) == ["data", "label"] and list(message.layer[5].bottom) == ["ip1", "label"]


def test_in_place_layers_write_into_their_bottom():
    relu = lenet().to_proto().layer[4]
    assert list(relu.bottom) == list(relu.top) == ["ip1"]


def test_dicts_are_messages_and_lists_repeat():
    conv = L.Convolution(data(1, 3, 8, 8), num_output=2, kernel_size=[3, 5], param=[dict(lr_mult=1), dict(lr_mult=2)],
                         weight_filler=dict(type="gaussian", std=0.5)).to_proto().layer[1]
    assert list(conv.convolution_param.kernel_size) == [3, 5] and conv.convolution_param.weight_filler.std == 0.5
    assert [param.lr_mult for param in conv.param] == [1, 2]


def test_a_single_value_fills_a_repeated_field():
    conv = L.Convolution(data(1, 3, 8, 8), num_output=2, kernel_size=3, pad=1, loss_weight=2).to_proto().layer[1]
    assert list(conv.convolution_param.kernel_size) == [3] and list(conv.loss_weight) == [2]


def test_a_whole_message_may_be_given_by_its_name():
    layer = L.Python(data(1, 3), python_param=dict(module="m", layer="C", param_str="7")).to_proto().layer[1]
    assert (layer.python_param.module, layer.python_param.param_str) == ("m", "7")
    data_layer = L.Data(source="db", batch_size=3, transform_param=dict(scale=0.5, mean_value=[1, 2, 3]), ntop=2)
    made = data_layer[0].fn.to_proto().layer[0]
    assert made.data_param.batch_size == 3 and list(made.transform_param.mean_value) == [1, 2, 3]


def test_enums_are_numbers_or_names():
    for pool in (P.Pooling.AVE, "AVE"):
        made = L.Pooling(data(1, 1, 4, 4), pool=pool, kernel_size=2).to_proto().layer[1]
        assert made.pooling_param.pool == P.Pooling.AVE
    assert P.Data.LMDB == caffe.proto.caffe_pb2.DataParameter.LMDB


def test_states_are_given_as_messages():
    made = L.ReLU(data(1), include=dict(phase=caffe.TRAIN)).to_proto().layer[1]
    assert made.include[0].phase == caffe.TRAIN


def test_ntop_zero_makes_a_layer_without_tops():
    n = caffe.NetSpec()
    n.data = data(1, 2)
    n.silence = L.Silence(n.data, ntop=0)
    made = n.to_proto().layer[1]
    assert made.name == "silence" and list(made.top) == [] and list(made.bottom) == ["data"]


def test_layers_without_names_are_numbered_by_their_type():
    made = L.Eltwise(L.ReLU(data(1)), L.ReLU(data(1)))
    assert [layer.name for layer in made.to_proto().layer] == ["Input1", "ReLU1", "Input2", "ReLU2", "Eltwise1"]


def test_a_net_is_as_deep_as_one_likes():
    top = data(1)
    for _ in range(3000):
        top = L.ReLU(top, in_place=True)
    assert len(caffe.to_proto(top).layer) == 3001


def test_tops_are_attributes_and_items():
    n = caffe.NetSpec()
    n["data"] = data(1)
    n.a = L.ReLU(n.data)
    assert n.a is n["a"] and list(n.tops) == ["data", "a"]
    del n.a
    n.b = L.ReLU(n["data"])
    del n["b"]
    assert list(n.tops) == ["data"]
    with pytest.raises(AttributeError, match="no top 'a'"):
        n.a  # noqa: B018


def test_an_input_that_is_no_top_is_named():
    with pytest.raises(TypeError, match="ReLU input 0 is not a Top"):
        L.ReLU([data(1)])


@pytest.mark.parametrize("make", [lambda: L.ReLU(data(1), negative_slop=1), lambda: L.Convolution(data(1), kernel=3)])
def test_an_unknown_parameter_is_refused(make):
    with pytest.raises(AttributeError, match="has no parameter 'negative_slop'|has no parameter 'kernel'"):
        make().to_proto()


def test_layers_of_any_name_can_be_made():
    assert getattr(L, "MyOwnLayer")(data(1)).to_proto().layer[1].type == "MyOwnLayer"
