"""Net in pycaffe's manners: construction, inputs, ranges, batches, hooks, sharing."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import layerforge as caffe
from layerforge.core.errors import LayerForgeError, NetError

from .conftest import SMALL, feed

STATES = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "always" type: "ReLU" bottom: "data" top: "always" }
layer { name: "low" type: "ReLU" bottom: "data" top: "low" include { max_level: 1 } }
layer { name: "high" type: "ReLU" bottom: "data" top: "high" include { min_level: 2 } }
layer { name: "extra" type: "ReLU" bottom: "data" top: "extra" include { stage: "extra" } }
layer { name: "plain" type: "ReLU" bottom: "data" top: "plain" exclude { stage: "extra" } }
layer { name: "train" type: "ReLU" bottom: "data" top: "train" include { phase: TRAIN } }
"""


def test_names_are_in_caffes_order(small):
    assert small.name == "small"
    assert list(small.blobs) == ["data", "label", "conv", "pool", "ip", "loss"]
    assert list(small.layer_dict) == ["data", "label", "conv", "relu", "pool", "ip", "loss"] == small._layer_names
    types = ["Input", "Input", "Convolution", "ReLU", "Pooling", "InnerProduct", "SoftmaxWithLoss"]
    assert [layer.type for layer in small.layers] == types
    assert small.inputs == ["data", "label"] and small.outputs == ["loss"]
    assert small.top_names["ip"] == ["ip"] and small.bottom_names["loss"] == ["ip", "label"]
    assert list(small.params) == ["conv", "ip"]
    assert [tuple(p.shape) for p in small.params["conv"]] == [(4, 3, 3, 3), (4,)]
    assert small.blob_loss_weights["loss"] == 1 and small.blob_loss_weights["ip"] == 0
    assert small.layer_dict["conv"].blobs is small.params["conv"]


def test_what_scripts_take_from_behind_the_curtain(small):
    names = small._blob_names
    assert [names[i] for i in small._inputs] == small.inputs and [names[i] for i in small._outputs] == small.outputs
    index = small._layer_names.index("loss")
    assert [names[i] for i in small._bottom_ids(index)] == ["ip", "label"]
    assert [names[i] for i in small._top_ids(index)] == ["loss"]
    whole = float(small.forward()["loss"])
    assert small._forward(0, index) == pytest.approx(whole)
    small._backward(index, 0)
    assert small.blobs["data"].diff.any()
    small.name = "renamed"  # Fast R-CNN's scripts do
    assert small.name == "renamed"


def test_a_blob_tells_its_size(small):
    blob = small.blobs["data"]
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (2, 3, 8, 8, 384)
    assert list(blob.shape) == [2, 3, 8, 8] and blob.data.dtype == np.float32
    assert (small.blobs["label"].num, small.blobs["label"].width) == (2, 1)


def test_inputs_may_be_given_by_name(small):
    x, label = small.blobs["data"].data.copy(), small.blobs["label"].data.copy()
    want = small.forward()["loss"].copy()
    small.blobs["data"].data[...] = 0
    out = small.forward(data=x, label=label)
    assert set(out) == {"loss"} and out["loss"] == want


@pytest.mark.parametrize("given, message", [
    ({"data": (2, 3, 8, 8)}, "inputs are"), ({"data": (2, 3, 8, 8), "labels": (2,)}, "inputs are"),
    ({"data": (3, 3, 8, 8), "label": (3,)}, "forward_all")])
def test_wrong_inputs_are_refused(small, given, message):
    with pytest.raises(ValueError, match=message):
        small.forward(**{name: np.zeros(shape) for name, shape in given.items()})


def test_other_blobs_can_be_asked_for(small):
    out = small.forward(blobs=["conv", "ip"])
    assert set(out) == {"conv", "ip", "loss"}
    assert np.shares_memory(out["conv"], small.blobs["conv"].data)


@pytest.mark.usefixtures("anywhere")
def test_forward_may_begin_and_end_anywhere(make_net):
    net, whole = make_net(), make_net()
    whole.share_with(net)
    feed(net)
    feed(whole)
    whole.forward()
    names = net._layer_names
    for cut in range(1, len(names)):
        for blob in ("conv", "pool", "ip", "loss"):
            net.blobs[blob].data[...] = -7
        out = net.forward(end=names[cut - 1])
        assert set(out) == set(net.top_names[names[cut - 1]])
        assert cut > 5 or (net.blobs["ip"].data == -7).all()
        assert set(net.forward(start=names[cut])) == {"loss"}
        for blob in ("conv", "pool", "ip", "loss"):
            np.testing.assert_allclose(net.blobs[blob].data, whole.blobs[blob].data, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("anywhere")
def test_backward_may_begin_and_end_anywhere(make_net):
    net, whole = make_net(), make_net()
    whole.share_with(net)
    for each in (net, whole):
        feed(each)
        each.forward()
    whole.clear_param_diffs()
    whole.backward()
    names = net._layer_names
    for cut in range(2, len(names) - 1):
        net.clear_param_diffs()
        net.forward()
        got = net.backward(end=names[cut + 1])
        assert set(got) == set(net.bottom_names[names[cut + 1]])
        got = net.backward(start=names[cut], diffs=["pool"])
        assert set(got) == {"data", "label", "pool"}
        np.testing.assert_allclose(net.blobs["data"].diff, whole.blobs["data"].diff, rtol=1e-4, atol=1e-6)
        for mine, theirs in zip(net.params["conv"] + net.params["ip"], whole.params["conv"] + whole.params["ip"]):
            np.testing.assert_allclose(mine.diff, theirs.diff, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("anywhere")
def test_a_start_in_the_middle_takes_what_stands_in_the_blobs(small):
    small.forward()
    small.blobs["pool"].data[...] = 0
    small.forward(start="ip")
    np.testing.assert_allclose(small.blobs["ip"].data, np.broadcast_to(small.params["ip"][1].data, (2, 5)))


def test_an_unknown_layer_is_refused(small):
    for call in (small.forward, small.backward):
        with pytest.raises(ValueError, match="no layer 'nowhere'"):
            call(start="nowhere")


def test_gradients_of_outputs_may_be_given_by_name(make_net):
    net = make_net(SMALL[: SMALL.index('layer { name: "loss"')].replace(
        'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }', ""))
    net.blobs["data"].data[...] = 1
    net.forward()
    first = net.backward(ip=np.ones((2, 5)))["data"].copy()
    np.testing.assert_allclose(net.backward(ip=np.full((2, 5), 3))["data"], 3 * first, rtol=1e-5)
    with pytest.raises(ValueError, match="outputs are"):
        net.backward(pool=np.zeros((2, 4, 3, 3)))


@pytest.mark.parametrize("items", [1, 2, 5])
def test_forward_all_takes_any_number_of_items(make_net, items):
    net = make_net(SMALL[: SMALL.index('layer { name: "loss"')])
    rng = np.random.default_rng(0)
    x, label = rng.standard_normal((items, 3, 8, 8)), np.arange(items)
    out = net.forward_all(blobs=["pool"], data=x, label=label)
    assert out["ip"].shape == (items, 5) and out["pool"].shape == (items, 4, 3, 3)
    for i in range(items):
        net.forward(data=np.stack([x[i], x[0]]), label=np.array([label[i], 0]))
        np.testing.assert_allclose(out["ip"][i], net.blobs["ip"].data[0], rtol=1e-5, atol=1e-6)


def test_forward_backward_all_gives_both(make_net):
    text = SMALL[: SMALL.index('layer { name: "loss"')].replace(
        'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }', "")
    net = make_net(text)
    x = np.random.default_rng(0).standard_normal((3, 3, 8, 8))
    out, gradients = net.forward_backward_all(blobs=["pool"], diffs=["pool"], data=x, ip=np.ones((3, 5)))
    assert out["ip"].shape == (3, 5) and out["pool"].shape == (3, 4, 3, 3)
    assert gradients["data"].shape == x.shape and gradients["pool"].shape == (3, 4, 3, 3)


@pytest.mark.usefixtures("anywhere")
def test_reshape_then_forward_follows_the_new_shape(make_net):
    net = make_net()
    for shape in ((3, 3, 10, 12), (1, 3, 8, 8), (2, 3, 9, 9)):
        net.blobs["data"].reshape(*shape)
        net.blobs["label"].reshape(shape[0])
        if shape[2:] != (8, 8):
            with pytest.raises(LayerForgeError, match="'ip'"):
                net.reshape()
        else:
            net.reshape()
            assert tuple(net.blobs["pool"].shape) == (1, 4, 3, 3)


@pytest.mark.usefixtures("anywhere")
def test_a_new_batch_size_gives_the_same_values(make_net):
    net = make_net()
    x = np.random.default_rng(3).standard_normal((5, 3, 8, 8))
    net.blobs["data"].reshape(5, 3, 8, 8)
    net.blobs["label"].reshape(5)
    net.reshape()
    assert tuple(net.blobs["ip"].shape) == (5, 5)
    many = net.forward(blobs=["ip"], data=x, label=np.zeros(5))["ip"].copy()
    net.blobs["data"].reshape(1, 3, 8, 8)  # without net.reshape(): forward follows by itself
    net.blobs["label"].reshape(1)
    for i in range(5):
        one = net.forward(blobs=["ip"], data=x[i : i + 1], label=np.zeros(1))["ip"]
        np.testing.assert_allclose(one[0], many[i], rtol=1e-4, atol=1e-5)


def test_share_with_uses_one_memory(make_net):
    net, other = make_net(), make_net()
    other.share_with(net)
    net.params["conv"][0].data[...] = 3
    assert (other.params["conv"][0].data == 3).all()
    assert not np.shares_memory(other.params["conv"][0].diff, net.params["conv"][0].diff)


@pytest.mark.parametrize("name", ["w.caffemodel", "w.h5"])
def test_weights_are_saved_and_loaded(make_net, name):
    net = make_net()
    for p in net.params["conv"] + net.params["ip"]:
        p.data[...] = np.arange(p.count).reshape(p.shape)
    (net.save_hdf5 if name.endswith("h5") else net.save)(name)
    for other in (make_net(weights=name), make_net()):
        other.load_hdf5(name) if name.endswith("h5") else other.copy_from(name)
        for mine, theirs in zip(net.params["ip"], other.params["ip"]):
            np.testing.assert_array_equal(mine.data, theirs.data)


def test_the_old_constructor_is_taken_with_a_warning(make_net):
    net = make_net()
    net.save("w.caffemodel")
    with pytest.warns(DeprecationWarning, match="old form"):
        other = caffe.Net("net.prototxt", "w.caffemodel", caffe.TEST)
    np.testing.assert_array_equal(net.params["ip"][0].data, other.params["ip"][0].data)


def test_a_phase_is_needed(make_net):
    make_net()
    with pytest.raises(TypeError, match="needs a phase"):
        caffe.Net("net.prototxt")


@pytest.mark.parametrize("more, layers", [
    ({}, {"low", "plain"}), ({"level": 2}, {"high", "plain"}), ({"stages": ["extra"]}, {"low", "extra"}),
    ({"level": 2, "stages": ["extra", "other"]}, {"high", "extra"})])
def test_levels_and_stages_choose_layers(make_net, more, layers):
    net = make_net(STATES, caffe.TEST, **more)
    assert {name for name in net.layer_dict if "split" not in name} - {"data", "always"} == layers


def test_the_phase_chooses_layers(make_net):
    assert "train" in make_net(STATES, caffe.TRAIN).layer_dict
    assert "train" not in make_net(STATES, caffe.TEST).layer_dict


def test_hooks_are_called_around_every_layer(small):
    calls = []
    for when in ("before_forward", "after_forward", "before_backward", "after_backward"):
        getattr(small, when)(lambda index, when=when: calls.append((when, index)))
    small.forward()
    small.backward()
    count = len(small.layers)
    up = [(when, i) for i in range(count) for when in ("before_forward", "after_forward")]
    down = [(when, i) for i in reversed(range(count)) for when in ("before_backward", "after_backward")]
    assert calls == up + down


def test_what_a_hook_raises_comes_out(small):
    small.before_forward(lambda index: {}["lost"])
    with pytest.raises(KeyError, match="lost"):
        small.forward()


@pytest.mark.usefixtures("anywhere")
def test_gradients_add_up_until_cleared(small):
    small.forward()
    small.backward()
    once = small.params["conv"][0].diff.copy()
    small.backward()
    np.testing.assert_allclose(small.params["conv"][0].diff, 2 * once, rtol=1e-5)
    small.clear_param_diffs()
    assert not small.params["conv"][0].diff.any()


def test_memory_data_takes_arrays(make_net):
    net = make_net("""layer { name: "m" type: "MemoryData" top: "x" top: "t"
                   memory_data_param { batch_size: 2 channels: 1 height: 2 width: 3 } }""")
    x = np.arange(24, dtype=np.float32).reshape(4, 1, 2, 3)
    net.set_input_arrays(x, np.arange(4, dtype=np.float32))
    assert net.forward()["t"].ravel().tolist() == [0, 1]
    assert net.forward()["x"].tolist() == x[2:].tolist()


def test_set_input_arrays_needs_a_memory_data_layer(small):
    with pytest.raises(NetError, match="MemoryData layer first, this net begins with layer 'data'"):
        small.set_input_arrays(np.zeros(1), np.zeros(1))


def test_a_python_layer_in_the_net_is_the_users_object(make_net, write):
    write("roidb.py", """
import layerforge as caffe
class Data(caffe.Layer):
    def setup(self, bottom, top): top[0].reshape(1)
    def set_value(self, value): self.value = value
    def forward(self, bottom, top): top[0].data[...] = self.value
class Plain:
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(1)
    def forward(self, bottom, top): pass
    def backward(self, top, propagate_down, bottom): pass
""")
    net = make_net("".join(
        f'layer {{ name: "{n}" type: "Python" top: "{n}" python_param {{ module: "roidb" layer: "{n}" }} }}\n'
        for n in ("Data", "Plain")))
    del sys.modules["roidb"]
    net.layers[0].set_value(5)
    assert net.forward()["Data"].tolist() == [5]
    assert [layer.type for layer in net.layers] == ["Python", "Python"] and net.layer_dict["Data"] is net.layers[0]


def test_a_message_is_read_with_protobufs_own_functions(make_net):
    from google.protobuf import text_format

    make_net()
    with open("net.prototxt", encoding="utf-8") as file:
        message = text_format.Merge(file.read(), caffe.proto.caffe_pb2.NetParameter())
    assert [layer.name for layer in message.layer][:3] == ["data", "label", "conv"]
    assert message.layer[2].convolution_param.kernel_size[:] == [3] and message.layer[0].phase == caffe.TRAIN
