"""Concat, Eltwise SUM and Split's gradients through the engine, in every mixture of layouts."""

import pytest
from engines_compare import Pair, net_text

from layerforge.core.errors import DeviceError
from layerforge.core.storage import Traffic
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase

try:
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)

FILL = 'weight_filler { type: "gaussian" std: 0.2 } bias_filler { type: "gaussian" std: 0.2 }'


def conv(name, outputs, bottom="data"):
    fields = f"num_output: {outputs} kernel_size: 3 pad: 1 {FILL}"
    return f"Convolution {name} {bottom} > {name} {{ convolution_param {{ {fields} }} }}"


@pytest.mark.parametrize("outputs", [(16, 32), (20, 5), (16, 20), (24, 24, 16), (3, 4)])
def test_concat_of_channels_agrees(outputs):
    names = [f"c{i}" for i in range(len(outputs))]
    pair = Pair(net_text(*map(conv, names, outputs), f"Concat j {' '.join(names)} > j"))
    assert pair.lowered()["j"] == "ONEDNN", pair.refusals()
    pair.run()
    pair.run()


@pytest.mark.parametrize("axis", [0, 2, -1])
def test_concat_along_other_axes_agrees(axis):
    pair = Pair(net_text(conv("a", 16), conv("b", 16), f"Concat j a b > j {{ concat_param {{ axis: {axis} }} }}"))
    assert pair.lowered()["j"] == "ONEDNN"
    pair.run()


def test_concat_of_flat_blobs_agrees():
    pair = Pair(net_text("ReLU a data > a", "TanH b data > b", "Concat j a b > j", shape=(3, 5)))
    pair.run()


def test_concat_with_the_input_itself_agrees():
    pair = Pair(net_text(conv("a", 16), "Concat j data a > j"))
    pair.run()


@pytest.mark.parametrize("fields", ["", "coeff: 1 coeff: -0.5"])
@pytest.mark.parametrize("relu", [False, True])
def test_a_sum_agrees(fields, relu):
    behind = ["ReLU r j > j"] if relu else []
    pair = Pair(
        net_text(conv("a", 20), conv("b", 20), f"Eltwise j a b > j {{ eltwise_param {{ {fields} }} }}", *behind)
    )
    assert pair.lowered()["j"] == "ONEDNN"
    pair.run()
    pair.run()


def test_a_sum_of_three_with_the_input_agrees():
    pair = Pair(net_text(conv("a", 6), conv("b", 6), "Eltwise j a data b > j"))
    pair.run()


@pytest.mark.parametrize("readers", [2, 3])
def test_gradients_of_blocks_that_are_not_filled_are_summed(readers):
    names = [f"r{i}" for i in range(readers)]
    more = [
        f"Convolution {name} n > {name} {{ convolution_param {{ num_output: 8 kernel_size: 1 {FILL} }} }}"
        for name in names
    ]
    pair = Pair(net_text(conv("c", 24), "BatchNorm n c > n", *more))
    assert "ref" not in str(pair.refusals())
    pair.run()


def test_a_residual_block_agrees_in_both_phases():
    block = [
        conv("a", 20),
        "ReLU r a > a",
        conv("b", 20, "a"),
        conv("c", 20, "b"),
        "Eltwise j a c > j",
        "ReLU q j > j",
        conv("d", 20, "j"),
        "Eltwise k j d > k",
    ]
    for phase in (Phase.TRAIN, Phase.TEST):
        pair = Pair(net_text(*block), phase)
        assert pair.lowered()["a_r_0_split"] == "ONEDNN"
        pair.run()
        pair.run()


def test_products_and_maxima_are_refused_with_their_reason():
    pair = Pair(net_text(conv("a", 6), conv("b", 6), "Eltwise j a b > j { eltwise_param { operation: PROD } }"))
    assert "PROD" in pair.refusals()["j"]
    pair.run()


def test_a_reshape_that_shuffles_pixels_is_refused_with_its_reason():
    pair = Pair(net_text(conv("a", 8), "Reshape x a > x { reshape_param { pixelshuffler: 2 } }"))
    assert "shuffled" in pair.refusals()["x"]
    pair.run()


def test_a_split_that_sums_nothing_is_no_work():
    pair = Pair(net_text(conv("a", 16), "ReLU r a > r", conv("b", 16, "a")), Phase.TEST, keep="outputs")
    pair.engine = build_net(pair.engine.definition, Phase.TEST, keep="outputs", backward=False)
    step = next(step for step in pair.engine.steps if "split" in pair.engine.layer_names[step.layers[0]])
    assert step.engine == "ONEDNN" and not step.work.forwards and not step.work.backwards


@pytest.mark.parametrize("outputs", [16, 20])
def test_what_reads_a_flattened_blocked_value_agrees(outputs):
    ip = f"InnerProduct i f > i {{ inner_product_param {{ num_output: 5 {FILL} }} }}"
    pair = Pair(net_text(conv("a", outputs), "Flatten f a > f", ip))
    pair.run()
    pair.run()


def test_flattening_before_an_inner_product_converts_nothing():
    ip = f"InnerProduct i f > i {{ inner_product_param {{ num_output: 5 {FILL} }} }}"
    pair = Pair(net_text(conv("a", 16), "Flatten f a > f", ip), keep="outputs")
    pair.run()
    before = Traffic.copies
    pair.engine.clear_gradients()
    pair.engine.forward()
    pair.engine.backward()
    assert Traffic.copies == before


@pytest.mark.parametrize(("axis", "cuts"), [(1, (16,)), (1, (5, 20)), (1, (3,)), (0, (1,)), (2, (4,)), (-1, ())])
@pytest.mark.parametrize("first", ["", "c"])
def test_a_slice_agrees(axis, cuts, first):
    tops = " ".join(f"s{i}" for i in range(len(cuts) + 1 if cuts else 2))
    points = " ".join(f"slice_point: {cut}" for cut in cuts)
    line = f"Slice s {first or 'data'} > {tops} {{ slice_param {{ axis: {axis} {points} }} }}"
    before = [conv("c", 32)] if first else []
    pair = Pair(net_text(*before, line, shape=(2, 32, 9, 8)))
    assert pair.lowered()["s"] == "ONEDNN", pair.refusals()
    pair.run()
    pair.run()


def test_what_is_sliced_and_joined_again_agrees():
    cut = "Slice s c > a b { slice_param { slice_point: 16 } }"
    pair = Pair(net_text(conv("c", 48), cut, "ReLU r a > a", "Concat j b a > j"))
    assert pair.lowered()["s"] == pair.lowered()["j"] == "ONEDNN"
    pair.run()
