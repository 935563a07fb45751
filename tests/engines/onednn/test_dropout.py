"""Dropout through the engine: the layer's own mask, in every layout."""

import numpy as np
import pytest
from engines_compare import Pair, net_text

from layerforge.core.errors import DeviceError
from layerforge.core.storage import HOST, Traffic
from layerforge.netdef.types import Phase

try:
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)

FILL = 'weight_filler { type: "gaussian" std: 0.2 }'


def drop(bottom="data", top="x", fields=""):
    return f"Dropout x {bottom} > {top} {{ dropout_param {{ {fields} }} }}"


def conv(outputs):
    return f"Convolution c data > c {{ convolution_param {{ num_output: {outputs} kernel_size: 3 pad: 1 {FILL} }} }}"


def work(pair):
    return next(step.work for step in pair.engine.steps if pair.engine.layer_names[step.layers[0]] == "x")


@pytest.mark.parametrize("fields", ["", "dropout_ratio: 0.3", "dropout_ratio: 0.3 scale_train: false"])
@pytest.mark.parametrize("shape", [(2, 6, 9, 8), (5, 7), (3,)])
def test_the_values_are_those_of_the_layer_bit_for_bit(shape, fields):
    pair = Pair(net_text(drop(fields=fields), shape=shape))
    assert pair.lowered()["x"] == "ONEDNN", pair.refusals()
    for _ in range(3):
        pair.run()
        for part in ("data", "diff"):
            blobs = [net.blobs["x" if part == "data" else "data"] for net in pair.nets]
            got, want = (getattr(blob, part).array(HOST) for blob in blobs)
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("outputs", [16, 20, 3])
@pytest.mark.parametrize("top", ["c", "x"])
@pytest.mark.parametrize("batch", [1, 2])
def test_behind_a_blocked_layout_the_same_values_are_dropped(outputs, top, batch):
    pair = Pair(net_text(conv(outputs), drop("c", top), shape=(batch, 6, 9, 8)))
    assert pair.lowered()["x"] == "ONEDNN", pair.refusals()
    for _ in range(2):
        pair.run()
        got, want = (net.blobs[top].data.array(HOST) == 0 for net in pair.nets)
        np.testing.assert_array_equal(got, want)
        assert 0.2 < got.mean() < 0.8


def test_a_pass_takes_one_draw():
    pair = Pair(net_text(drop(fields="dropout_ratio: 0")))
    pair.run()
    pair.run()
    assert [net.layer("x").stream.draws for net in pair.nets] == [2, 2]


def test_in_place_in_test_it_is_no_work():
    pair = Pair(net_text(conv(16), drop("c", "c")), Phase.TEST)
    assert pair.lowered()["x"] == "ONEDNN"
    assert not work(pair).forwards and not work(pair).backwards
    pair.run()


def test_in_place_with_the_ratio_0_only_the_draw_is_counted():
    pair = Pair(net_text(drop("data", "data", "dropout_ratio: 0")))
    assert len(work(pair).forwards) == 1 and not work(pair).backwards
    pair.run()


@pytest.mark.parametrize("top", ["c", "x"])
def test_in_test_without_scale_train_it_scales_down(top):
    pair = Pair(net_text(conv(20), drop("c", top, "dropout_ratio: 0.3 scale_train: false")), Phase.TEST)
    assert pair.lowered()["x"] == "ONEDNN"
    pair.run()


def test_the_values_stay_in_the_layout_of_the_convolution():
    pooling = "Pooling p c > p { pooling_param { kernel_size: 3 stride: 2 } }"
    pair = Pair(net_text(conv(16), drop("c", "c"), pooling), keep="outputs")
    pair.engine.forward()
    before = Traffic.copies
    pair.engine.forward()
    assert Traffic.copies == before


def test_a_mask_of_another_shape_follows_a_reshape():
    pair = Pair(net_text(conv(20), drop("c", "c")))
    for batch in (3, 2, 5):
        for net in pair.nets:
            net.blobs["data"].reshape((batch, 6, 9, 8))
        pair.run()
