"""Nets built from definitions made in code: gradients, sharing, losses, hooks, reshaping."""

import numpy as np
import pytest

from layerforge.core.errors import NetError
from layerforge.core.random import Random
from layerforge.core.storage import HOST
from layerforge.net.build import build_net
from layerforge.net.share import share_parameters_with
from layerforge.netdef.fields import make_fields
from layerforge.netdef.types import LayerDef, NetDef, ParamSpec, Phase, Where


def data(*dims, name="data"):
    return LayerDef(name, "Input", (), (name,), params=make_fields({"input_param": {"shape": [{"dim": dims}]}}))


def ip(name, bottom, top, outputs=3, **more):
    params = {"num_output": outputs, "weight_filler": {"type": "xavier"}}
    return LayerDef(
        name,
        "InnerProduct",
        (bottom,),
        (top,),
        params=make_fields({"inner_product_param": params}),
        where=Where("n", 5),
        **more,
    )


def build(*layers, phase=Phase.TRAIN, **more):
    return build_net(NetDef("net", tuple(layers), **more), phase, rng=Random(1))


def array(blob):
    return blob.data.array(HOST).reshape(blob.shape)


def gradient(blob):
    return blob.diff.array(HOST).reshape(blob.shape)


def run(net, x=1.0):
    array(net.blobs["data"])[...] = x
    loss = net.forward()
    net.clear_gradients()
    net.backward()
    return loss


def test_building_touches_no_memory():
    net = build(data(2, 4), ip("a", "data", "y", loss_weight=(1.0,)))
    assert not any(blob.data.allocated for blob in net.blob_list + net.params["a"])


def test_the_loss_is_the_weighted_sum_of_loss_tops():
    net = build(data(2, 4), ip("a", "data", "y", loss_weight=(2.0,)))
    assert run(net) == pytest.approx(2 * float(array(net.blobs["y"]).sum()), rel=1e-5)


def test_a_loss_weight_fills_the_gradient_of_its_top():
    net = build(data(2, 4), ip("a", "data", "y", loss_weight=(2.0,)))
    run(net)
    assert (gradient(net.blobs["y"]) == 2).all()


def test_a_loss_top_of_another_size_is_filled_again():
    net = build(data(2, 4), ip("a", "data", "y", loss_weight=(2.0,)))
    run(net)
    net.blobs["data"].reshape((5, 4))
    net.reshape()
    run(net)
    assert gradient(net.blobs["y"]).shape == (5, 3) and (gradient(net.blobs["y"]) == 2).all()


def test_inputs_get_no_gradient_unless_forced():
    layers = data(2, 4), ip("a", "data", "y", loss_weight=(1.0,))
    assert build(*layers).gradients.bottoms[1] == (False,)
    assert build(*layers, force_backward=True).gradients.bottoms[1] == (True,)


def test_layers_without_a_loss_above_do_not_run_backward():
    net = build(data(2, 4), ip("a", "data", "x"), ip("b", "x", "y", loss_weight=(1.0,)), ip("c", "x", "unused"))
    runs = dict(zip(net.layer_names, net.gradients.layers))
    assert (runs["a"], runs["b"], runs["c"]) == (True, True, False)


def test_propagate_down_false_cuts_everything_below():
    net = build(data(2, 4), ip("a", "data", "x"), ip("b", "x", "y", loss_weight=(1.0,), propagate_down=(False,)))
    runs = dict(zip(net.layer_names, net.gradients.layers))
    assert (runs["a"], runs["b"]) == (False, True)


def test_lr_mult_zero_gives_a_parameter_no_gradient():
    frozen = (ParamSpec(lr_mult=0.0), ParamSpec(lr_mult=0.0))
    net = build(data(2, 4), ip("a", "data", "x", param=frozen), ip("b", "x", "y", loss_weight=(1.0,)))
    assert net.gradients.layers == (False, False, True)


def test_gradients_add_up_until_they_are_cleared():
    net = build(data(2, 4), ip("a", "data", "y", loss_weight=(1.0,)))
    run(net)
    once = gradient(net.params["a"][0]).copy()
    net.backward()
    np.testing.assert_allclose(gradient(net.params["a"][0]), 2 * once)
    net.clear_gradients()
    assert (gradient(net.params["a"][0]) == 0).all()


def shared(name, bottom, top, outputs=4, **spec):
    return ip(
        name,
        bottom,
        top,
        outputs,
        param=(ParamSpec("w", **spec), ParamSpec("b", where=Where("n", 8))),
        loss_weight=(1.0,),
    )


def test_parameters_of_one_name_are_one_memory_and_their_gradients_add_up():
    net = build(data(2, 4), shared("a", "data", "x"), shared("b", "x", "y"))
    run(net)
    assert array(net.params["a"][0]) is not array(net.params["b"][0])
    assert np.shares_memory(array(net.params["a"][0]), array(net.params["b"][0]))
    assert [each.name for each in net.learnable] == ["a.0", "a.1"]
    bias = gradient(net.params["a"][1]).copy()
    w = array(net.params["a"][0])
    np.testing.assert_allclose(bias, 2 + 2 + 2 * w.sum(0), rtol=1e-5)  # x, y, and y through x


def test_a_sharer_may_not_contradict_the_owner():
    with pytest.raises(NetError, match="lr_mult 2, its owner a.0 says 1"):
        build(data(2, 4), shared("a", "data", "x", lr_mult=1.0), shared("b", "x", "y", lr_mult=2.0))


def test_a_sharer_may_set_what_the_owner_leaves_open():
    net = build(data(2, 4), shared("a", "data", "x"), shared("b", "x", "y", lr_mult=2.0))
    assert net.learnable[0].lr_mult == 2.0


def test_strict_sharing_wants_equal_shapes():
    with pytest.raises(NetError, match=r"parameter 'w' has the shape \(8, 4\), its owner a.0 has \(4, 4\)"):
        build(data(2, 4), shared("a", "data", "x"), shared("b", "x", "y", 8))


def test_more_param_entries_than_parameters_are_refused():
    specs = (ParamSpec(), ParamSpec(), ParamSpec(where=Where("n", 12)))
    with pytest.raises(NetError, match="^n:12: .* has 3 param entries for 2 parameters"):
        build(data(2, 4), ip("a", "data", "y", param=specs))


def test_a_wrong_number_of_bottoms_is_refused():
    bad = LayerDef("a", "InnerProduct", ("data", "data"), ("y",), where=Where("n", 5))
    with pytest.raises(NetError, match="has 2 bottoms, needs exactly 1"):
        build(data(2, 4), bad)


def test_an_unknown_type_suggests_the_nearest():
    with pytest.raises(NetError, match="did you mean 'InnerProduct'"):
        build(data(2, 4), LayerDef("a", "InerProduct", ("data",), ("y",)))


def test_two_layers_with_parameters_and_one_name_are_warned_of(caplog):
    build(data(2, 4), ip("a", "data", "x"), ip("a", "x", "y"))
    assert "has the name of the layer at n:5" in caplog.text


def test_hooks_are_called_with_layer_numbers():
    net = build(data(2, 4), ip("a", "data", "y", loss_weight=(1.0,)))
    calls = []
    net.hooks["before_forward"].append(lambda i: calls.append(("f", i)))
    net.hooks["after_backward"].append(lambda i: calls.append(("b", i)))
    run(net)
    assert calls == [("f", 0), ("f", 1), ("b", 1), ("b", 0)]


def test_a_part_of_the_net_runs_alone():
    net = build(data(2, 4), ip("a", "data", "x"), ip("b", "x", "y"))
    array(net.blobs["x"])[...] = 3
    net.forward_from_to(2, 2)
    w, b = (array(p) for p in net.params["b"])
    np.testing.assert_allclose(array(net.blobs["y"]), np.full((2, 3), 3.0) @ w.T + b, rtol=1e-5)


def test_outputs_are_in_byte_order_and_inputs_in_the_order_of_the_text():
    net = build(data(2, 4), data(2, 4, name="a_in"), ip("p", "data", "z"), ip("q", "a_in", "B"))
    assert net.inputs == ["data", "a_in"]
    assert net.outputs == ["B", "z"]


def test_a_test_net_can_use_the_train_nets_parameters():
    train, test = (build(data(2, 4), ip("a", "data", "y")) for _ in range(2))
    share_parameters_with(test, train)
    array(train.params["a"][0])[...] = 5
    assert (array(test.params["a"][0]) == 5).all()


def test_parameters_of_other_shapes_cannot_be_shared_between_nets():
    with pytest.raises(NetError, match="cannot be shared between the nets: layer 'a'"):
        share_parameters_with(build(data(2, 4), ip("a", "data", "y")), build(data(2, 4), ip("a", "data", "y", 7)))


def test_a_net_of_one_seed_starts_from_the_same_parameters():
    one, other = (build(data(2, 4), ip("a", "data", "y")) for _ in range(2))
    assert np.array_equal(array(one.params["a"][0]), array(other.params["a"][0]))


def test_numbers_that_are_not_finite_pass_without_warnings(recwarn):
    log = LayerDef("log", "Log", ("data",), ("y",))
    net = build(data(2), log, LayerDef("exp", "Exp", ("y",), ("z",)), force_backward=True)
    run(net, -1.0)
    assert np.isnan(array(net.blobs["z"])).all() and not recwarn.list
