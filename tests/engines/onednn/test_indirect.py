"""Convolutions for inference by a loop of our own."""

import numpy as np
import pytest
from inference_pair import distance, feed, pair, runs

from layerforge.core.errors import DeviceError
from layerforge.core.storage import HOST
from layerforge.graph.memory import Memory
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

try:
    from layerforge.engines.onednn import indirect
    from layerforge.engines.onednn.compiled import compiler
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)
if compiler() is None or not compiler().wide:
    pytest.skip("llvmlite, libgomp or AVX-512 is not here: the loop is not used", allow_module_level=True)

def text(x, outputs=32, fields="kernel_size: 1", behind=""):
    dims = " ".join(f"dim: {size}" for size in x)
    return f"""
        layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}
        layer {{ name: "y" type: "Convolution" bottom: "x" top: "y" convolution_param {{
          num_output: {outputs} {fields} weight_filler {{ type: "msra" }}
          bias_filler {{ type: "uniform" min: -1 max: 1 }} }} }}
        {behind}"""


RELU = 'layer { name: "r" type: "ReLU" bottom: "y" top: "y" }'
LEAKY = RELU.replace("}", "relu_param { negative_slope: 0.1 } }")
BLOCK = """
layer { name: "e" type: "Eltwise" bottom: "y" bottom: "x" top: "e" }
layer { name: "f" type: "ReLU" bottom: "e" top: "e" }"""
TWO_BLOCKS = """
layer { name: "e" type: "Eltwise" bottom: "y" bottom: "x" top: "e" }
layer { name: "f" type: "ReLU" bottom: "e" top: "e" }
layer { name: "z" type: "Convolution" bottom: "e" top: "z"
  convolution_param { num_output: 32 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "g" type: "Eltwise" bottom: "z" bottom: "e" top: "g" }
layer { name: "w" type: "Convolution" bottom: "g" top: "w"
  convolution_param { num_output: 8 kernel_size: 1 weight_filler { type: "msra" } } }"""


def convolutions(net):
    """What goes this way."""
    return runs(net, indirect.Indirect)


@pytest.mark.parametrize("x, outputs, fields", [
    ((2, 32, 9, 9), 64, "kernel_size: 1"),
    ((3, 16, 9, 11), 24, "kernel_size: 1"),
    ((2, 20, 5, 5), 8, "kernel_size: 1 bias_term: false"),
    ((1, 64, 1, 1), 48, "kernel_size: 1"),
    ((1, 16, 14, 14), 112, "kernel_size: 1"),
    ((1, 512, 7, 7), 64, "kernel_size: 1"),
    ((2, 16, 9, 9), 32, "kernel_size: 1 stride: 2"),
    ((2, 16, 5, 5), 32, "kernel_size: 1 pad: 1"),
    ((2, 8, 9, 9), 40, "kernel_size: 3 stride: 2 pad: 1"),
    ((2, 12, 7, 7), 48, "kernel_size: 3 pad: 1"),
    ((1, 16, 28, 28), 24, "kernel_size: 5 pad: 2"),
    ((2, 16, 15, 15), 80, "kernel_size: 3 stride: 2 pad: 1 dilation: 2"),
    ((1, 4, 20, 17), 16, "kernel_h: 7 kernel_w: 2 stride_h: 2 stride_w: 3 pad_h: 3 pad_w: 0"),
], ids=str)
def test_it_agrees_with_the_layer(x, outputs, fields):
    nets = pair(text(x, outputs, fields))
    assert len(convolutions(nets[0])) == 1 and distance(nets) < 1e-6


@pytest.mark.parametrize("behind", [RELU, BLOCK], ids=["ReLU", "residual sum"])
@pytest.mark.parametrize("keep", ["all", "outputs"])
def test_what_follows_joins_it(behind, keep):
    nets = pair(text((2, 32, 6, 5), behind=behind), keep)
    assert len(convolutions(nets[0])) == 1 and distance(nets) < 1e-6


@pytest.mark.parametrize("samples", [1, 3])
def test_a_residual_sum_takes_the_place_of_what_it_adds(samples, monkeypatch):
    monkeypatch.setattr(Memory, "poison", True)
    nets = pair(text((samples, 32, 7, 5), behind=TWO_BLOCKS))
    assert distance(nets) < 1e-6 and distance(nets) < 1e-6
    places = {value.storage: value for value in nets[0].memory.plan.values}
    second = convolutions(nets[0])[1]
    written = next(use for use in second.uses() if use.over is not None)
    assert places[written.storage].over is places[written.over]
    assert places[written.storage].offset == places[written.over].offset


def test_rows_that_fill_no_tile_are_added_once():
    nets = pair(text((1, 32, 3, 3), behind=TWO_BLOCKS))
    assert distance(nets) < 1e-6


@pytest.mark.parametrize("relu", ["", RELU], ids=["plain", "ReLU"])
def test_not_a_number_passes(relu):
    net = pair(text((1, 16, 4, 4), behind=relu))[0]
    values = np.zeros((1, 16, 4, 4), np.float32)
    values[0, 3, 1, 2] = np.nan
    net.blobs["x"].data.set(values)
    net.forward()
    found = np.isnan(net.blobs["y"].data.array(HOST).reshape(1, 32, 4, 4))
    assert found[:, :, 1, 2].all() and found.sum() == 32


def test_new_weights_and_new_inputs_are_taken():
    nets = pair(text((2, 32, 6, 5)))
    first = distance(nets)
    for net in nets:
        for blob in net.params["y"]:
            blob.data.set(blob.data.array(HOST) * 1.5 + 0.1)
    feed(nets)
    assert first < 1e-6 and distance(nets) < 1e-6


def test_a_new_shape_is_planned_anew_with_the_same_weights():
    nets = pair(text((2, 32, 6, 5), 40, "kernel_size: 3 pad: 1 stride: 2", RELU))
    assert distance(nets) < 1e-6
    before = convolutions(nets[0])[0].weights
    for net in nets:
        net.blobs["x"].reshape((3, 32, 11, 4))
        net.reshape()
    feed(nets)
    assert distance(nets) < 1e-6 and convolutions(nets[0])[0].weights is before


def test_each_fetches_the_weights_of_the_next():
    first, second, third = convolutions(pair(text((1, 32, 7, 5), behind=TWO_BLOCKS))[0])
    assert first.next is second.weights.array and second.next is third.weights.array and third.next is None


@pytest.mark.parametrize("definition, reason", [
    (text((2, 8, 6, 6), fields="kernel_size: 3 group: 2"), "groups"),
    (text((2, 3, 16, 16), fields="kernel_size: 7"), "channels that fill no turn"),
    (text((2, 8, 16, 16), outputs=21), "outputs that fill no half vector"),
    (text((2, 8, 6, 6), behind=LEAKY), "leaky"),
    (text((2, 8, 4, 6, 6)), "three spatial axes"),
    (text((2, 32, 16, 16), fields="kernel_size: 3 pad: 1"), "Winograd's"),
], ids=lambda value: value if len(value) < 40 else "")
def test_others_go_another_way(definition, reason):
    nets = pair(definition)
    assert not convolutions(nets[0]) and distance(nets) < 3e-6, reason


def test_a_table_that_would_be_large_is_not_made(monkeypatch):
    monkeypatch.setattr(indirect, "MOST_ROWS", 100)
    nets = pair(text((2, 16, 9, 9), fields="kernel_size: 3 stride: 2"))
    assert not convolutions(nets[0]) and distance(nets) < 1e-6


def test_training_goes_another_way():
    assert not convolutions(build_net(parse_net("force_backward: true" + text((2, 32, 16, 16))), Phase.TRAIN))


def test_the_environment_switches_it_off(monkeypatch):
    monkeypatch.setenv(indirect.VARIABLE, "0")
    assert not convolutions(pair(text((2, 32, 16, 16)))[0])


def test_it_is_explained_and_its_memory_counted():
    net = pair(text((2, 32, 16, 16), 48, "kernel_size: 3 stride: 2"))[0]
    step = next(step for step in net.steps if step.engine == "ONEDNN")
    (kernel,) = step.kernels()
    assert kernel.name == "indirect_convolution" and kernel.impl.startswith("llvm:")
    assert sum(step.buffers().values()) >= 4 * 9 * (32 * 48 + 7 * 7)  # weights, and the table of offsets


@pytest.mark.parametrize("rows, outputs, found", [
    (49, 512, (7, 2)), (3136, 64, (7, 2)), (196, 48, (7, 3)), (8, 16, (8, 1)), (64, 112, (8, 2)),
])
def test_a_tile_wastes_little(rows, outputs, found):
    assert indirect.tile(rows, outputs) == found


@pytest.mark.parametrize("tiles, panels, most, threads", [
    (98, 4, 32, 2), (392, 8, 16, 2), (25, 3, 100, 2), (7, 64, 100, 2), (1, 1, 1, 2), (50, 5, 20, 7),
])
def test_blocks_are_even_and_bounded(tiles, panels, most, threads):
    size = indirect.block(tiles, panels, most, threads)
    blocks = -(-tiles // size)
    busiest = -(-blocks * panels // threads) * size
    assert 1 <= size <= max(most, 1)
    assert busiest * threads <= indirect.EVEN * tiles * panels or size == 1
