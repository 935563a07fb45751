"""Convolutions of 3 × 3 and 5 × 5 that need fewer products, for inference."""

import numpy as np
import pytest
from inference_pair import distance, feed, pair, runs

from layerforge.core.errors import DeviceError
from layerforge.core.storage import HOST
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

try:
    from layerforge.engines.onednn import winograd
    from layerforge.engines.onednn.compiled import compiler
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)
if compiler() is None:
    pytest.skip("llvmlite or libgomp is not here: nothing compiles the loops", allow_module_level=True)

def text(x, outputs=32, fields="pad: 1", behind="", kernel=3):
    dims = " ".join(f"dim: {size}" for size in x)
    return f"""
        layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}
        layer {{ name: "y" type: "Convolution" bottom: "x" top: "y" convolution_param {{
          num_output: {outputs} kernel_size: {kernel} {fields} weight_filler {{ type: "msra" }}
          bias_filler {{ type: "uniform" min: -1 max: 1 }} }} }}
        {behind}"""


RELU = 'layer { name: "r" type: "ReLU" bottom: "y" top: "y" }'
LEAKY = RELU.replace("}", "relu_param { negative_slope: 0.1 } }")
BLOCK = """
layer { name: "b" type: "BatchNorm" bottom: "y" top: "y" batch_norm_param { use_global_stats: true } }
layer { name: "s" type: "Scale" bottom: "y" top: "y" scale_param { bias_term: true } }
layer { name: "e" type: "Eltwise" bottom: "y" bottom: "x" top: "e" }
layer { name: "r" type: "ReLU" bottom: "e" top: "e" }"""


def convolutions(net):
    """What goes this way."""
    return runs(net, winograd.Winograd)


@pytest.mark.parametrize("x, fields", [
    ((2, 32, 16, 16), "pad: 1"),
    ((3, 48, 13, 18), "pad: 1"),
    ((1, 32, 23, 25), ""),
    ((2, 32, 14, 17), "pad_h: 2 pad_w: 0"),
    ((2, 32, 15, 15), "pad: 1 bias_term: false"),
    ((26, 64, 4, 4), "pad: 1"),
    ((1, 32, 14, 14), "pad: 1"),
    ((1, 32, 28, 28), "pad: 1"),
    ((4, 32, 16, 16), "pad: 1"),
], ids=str)
def test_it_agrees_with_the_layer(x, fields):
    nets = pair(text(x, fields=fields))
    assert len(convolutions(nets[0])) == 1 and distance(nets) < 3e-6


@pytest.mark.parametrize("x, outputs, fields", [
    ((2, 32, 16, 16), 32, "pad: 2"),
    ((3, 16, 13, 18), 48, "pad: 2"),
    ((1, 48, 23, 25), 32, ""),
    ((5, 32, 7, 7), 16, "pad_h: 1 pad_w: 2"),
], ids=str)
def test_windows_of_5_agree_with_the_layer(x, outputs, fields):
    nets = pair(text(x, outputs, fields, kernel=5))
    assert len(convolutions(nets[0])) == 1 and distance(nets) < 3e-6


def test_what_follows_joins_a_window_of_5():
    nets = pair(text((2, 32, 9, 11), fields="pad: 2", behind=BLOCK, kernel=5))
    assert len(convolutions(nets[0])) == 1 and distance(nets) < 3e-6


@pytest.mark.parametrize("behind", [RELU, BLOCK], ids=["ReLU", "residual block"])
@pytest.mark.parametrize("keep", ["all", "outputs"])
def test_what_follows_joins_it(behind, keep):
    nets = pair(text((2, 32, 18, 21), behind=behind), keep)
    assert len(convolutions(nets[0])) == 1 and distance(nets) < 3e-6


@pytest.mark.parametrize("outputs", [32, 48, 80], ids=["whole panels", "three vectors each", "half a panel more"])
@pytest.mark.parametrize("few", [0, 1000], ids=["36 matrices kept", "18 kept"])
def test_panels_of_output_channels(outputs, few, monkeypatch):
    monkeypatch.setattr(winograd, "FEW", few)
    nets = pair(text((1, 48, 17, 19), outputs=outputs, behind=RELU))
    assert len(convolutions(nets[0])) == 1 and distance(nets) < 3e-6


@pytest.mark.skipif(not compiler().wide, reason="sums of four tiles need 32 registers of 16 numbers")
@pytest.mark.parametrize("x, outputs, behind", [
    ((1, 32, 7, 7), 32, BLOCK),
    ((1, 48, 8, 5), 80, RELU),
    ((4, 32, 4, 4), 48, ""),
    ((1, 64, 3, 14), 64, BLOCK),
], ids=str)
def test_four_tiles_keep_no_more_weights_than_there_are(x, outputs, behind):
    nets = pair(text(x, outputs=outputs, behind=behind))
    (made,) = convolutions(nets[0])
    assert made.weights.array.nbytes == 4 * outputs * x[1] * 9
    assert distance(nets) < 3e-6 and distance(nets) < 3e-6


def test_four_tiles_go_the_direct_way_where_registers_are_few(monkeypatch):
    monkeypatch.setattr(compiler(), "wide", False)
    assert not convolutions(pair(text((1, 32, 7, 7)))[0])


@pytest.mark.parametrize("few", [0, 1000], ids=["36 matrices kept", "18 kept"])
@pytest.mark.parametrize("cut", [(1, 1), (2, 1), (1, 2), (3, 2), (2, 5)], ids=str)
def test_threads_share_tiles_and_panels(cut, few, monkeypatch):
    monkeypatch.setattr(winograd, "FEW", few)
    monkeypatch.setattr(winograd, "cells", lambda *sizes: cut)
    monkeypatch.setattr(winograd, "TOGETHER", 8)
    nets = pair(text((2, 32, 18, 21), outputs=96, behind=RELU))
    assert distance(nets) < 3e-6 and distance(nets) < 3e-6


def test_tiles_of_processors_with_fewer_registers(monkeypatch):
    monkeypatch.setattr(compiler(), "wide", False)
    nets = pair(text((1, 48, 17, 19), outputs=80, behind=RELU))
    assert len(convolutions(nets[0])) == 1 and distance(nets) < 3e-6


def test_many_tiles_are_cut_and_of_few_the_panels():
    assert winograd.cells(lines=28, line=7, channels=64, panel=2, panels=2, threads=2) == (2, 1)
    assert winograd.cells(lines=2, line=8, channels=256, panel=2, panels=8, threads=2) == (1, 2)
    assert winograd.cells(lines=16, line=8, channels=256, panel=2, panels=8, threads=6)[0] in (2, 3, 6)


@pytest.mark.parametrize("together", [1, 7, 1000])
def test_more_tiles_than_are_taken_at_once(together, monkeypatch):
    monkeypatch.setattr(winograd, "TOGETHER", together)
    nets = pair(text((2, 32, 18, 21), behind=BLOCK))
    assert distance(nets) < 3e-6 and distance(nets) < 3e-6


def test_an_output_that_is_not_a_number_stays_one():
    nets = pair(text((1, 32, 16, 16), behind=RELU))
    for net in nets:
        net.params["y"][1].data.set(np.full(32, np.nan, np.float32))
        net.forward()
    assert all(np.isnan(net.blobs["y"].data.array(HOST)).all() for net in nets)


def test_the_weights_of_the_next_convolution_are_fetched():
    more = """layer { name: "z" type: "Convolution" bottom: "y" top: "z" convolution_param {
        num_output: 64 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }"""
    nets = pair(text((1, 32, 16, 16), behind=more))
    first, second = convolutions(nets[0])
    assert first.next is second.weights.array and second.next is None and distance(nets) < 3e-6


def test_new_weights_and_new_inputs_are_taken():
    nets = pair(text((2, 32, 18, 21), behind=BLOCK))
    first = distance(nets)
    for net in nets:
        for name in ("y", "b", "s"):
            for blob in net.params[name]:
                blob.data.set(blob.data.array(HOST) * 1.5 + 0.1)
    feed(nets)
    assert first < 3e-6 and distance(nets) < 3e-6


def test_a_new_shape_is_planned_anew():
    nets = pair(text((2, 32, 18, 21)))
    assert distance(nets) < 3e-6
    for net in nets:
        net.blobs["x"].reshape((3, 32, 11, 30))
        net.reshape()
    feed(nets)
    assert len(convolutions(nets[0])) == 1 and distance(nets) < 3e-6


@pytest.mark.parametrize("definition, reason", [
    (text((2, 32, 16, 16), fields="pad: 1 stride: 2"), "strides"),
    (text((2, 32, 16, 16), fields="pad: 2 dilation: 2"), "gaps in the window"),
    (text((2, 32, 16, 16), fields="pad: 1 group: 2"), "groups"),
    (text((2, 24, 16, 16)), "channels that fill no vector"),
    (text((2, 32, 16, 16), outputs=16), "few channels"),
    (text((1, 32, 4, 28)), "few tiles"),
    (text((2, 32, 16, 16), behind=LEAKY), "leaky"),
], ids=lambda value: value if len(value) < 40 else "")
def test_others_go_the_direct_way(definition, reason):
    nets = pair(definition)
    assert not convolutions(nets[0]) and distance(nets) < 1e-6, reason


def test_training_goes_the_direct_way():
    assert not convolutions(build_net(parse_net("force_backward: true" + text((2, 32, 16, 16))), Phase.TRAIN))


def test_the_environment_switches_it_off(monkeypatch):
    monkeypatch.setenv(winograd.VARIABLE, "0")
    assert not convolutions(pair(text((2, 32, 16, 16)))[0])


def test_it_is_explained_and_its_memory_counted():
    net = pair(text((2, 32, 16, 16)))[0]
    step = next(step for step in net.steps if step.engine == "ONEDNN")
    assert [kernel.name for kernel in step.kernels()] == ["winograd_convolution"]
    assert sum(step.buffers().values()) >= 4 * (18 * 32 * 32 + 36 * 2 * 32 * 32)  # weights, and two sets of matrices


def test_the_weights_are_kept_once_for_all_shapes():
    nets, kept = pair(text((2, 32, 16, 16), behind=BLOCK)), set()
    for samples in (2, 1, 2):
        for net in nets:
            net.blobs["x"].reshape((samples, 32, 16, 16))
        feed(nets)
        assert distance(nets) < 3e-6
        kept.add(id(convolutions(nets[0])[0].weights.array))
    assert len(kept) == 1
