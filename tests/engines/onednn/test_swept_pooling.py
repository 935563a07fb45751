"""Pooling of maxima and LRN in one sweep, in inference."""

import pytest
from inference_pair import distance, feed, pair, runs

from layerforge.core.errors import DeviceError
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

try:
    from layerforge.engines.onednn.compiled import compiler
    from layerforge.engines.onednn.library import load
    from layerforge.engines.onednn.swept_pooling import SweptPooling

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)
if compiler() is None or not compiler().wide:
    pytest.skip("llvmlite, libgomp or AVX-512 is not here: nothing sweeps", allow_module_level=True)

def conv(outputs=48, bottom="x"):
    return f"""layer {{ name: "c" type: "Convolution" bottom: "{bottom}" top: "c" convolution_param {{
        num_output: {outputs} kernel_size: 1 weight_filler {{ type: "msra" }} }} }}"""


def pool(bottom, top, fields="kernel_size: 3 stride: 2"):
    return f'layer {{ name: "p" type: "Pooling" bottom: "{bottom}" top: "{top}" pooling_param {{ {fields} }} }}'


def lrn(bottom, top, fields="local_size: 5 alpha: 0.5"):
    return f'layer {{ name: "n" type: "LRN" bottom: "{bottom}" top: "{top}" lrn_param {{ {fields} }} }}'


def net_of(behind, x=(2, 16, 9, 11), first=None):
    dims = " ".join(f"dim: {size}" for size in x)
    data = f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}'
    return data + (first or conv()) + behind


POOL_LRN, LRN_POOL = pool("c", "d") + lrn("d", "y"), lrn("c", "d") + pool("d", "y")


def sweeps(net):
    """What goes this way."""
    return runs(net, SweptPooling)


@pytest.mark.parametrize("x", [(2, 16, 9, 11), (1, 16, 14, 7), (3, 16, 8, 8), (1, 16, 4, 3)], ids=str)
@pytest.mark.parametrize("window", ["kernel_size: 3 stride: 2", "kernel_size: 3 stride: 1 pad: 1",
                                    "kernel_size: 3 stride: 2 pad: 1", "kernel_size: 2 stride: 2"])
@pytest.mark.parametrize("order", ["pool first", "LRN first"])
def test_both_in_one_sweep_agree_with_the_layers(x, window, order):
    behind = pool("c", "d", window) + lrn("d", "y") if order == "pool first" else lrn("c", "d") + pool("d", "y", window)
    nets = pair(net_of(behind, x))
    assert len(sweeps(nets[0])) == 1 and distance(nets) < 1e-6


@pytest.mark.parametrize("length", [1, 3, 7, 15])
@pytest.mark.parametrize("order", [0, 1])
def test_lengths_of_the_sum(length, order):
    fields = f"local_size: {length} alpha: 2 k: 1.5"
    behind = pool("c", "d") + lrn("d", "y", fields) if order else lrn("c", "d", fields) + pool("d", "y")
    nets = pair(net_of(behind))
    assert len(sweeps(nets[0])) == 1 and distance(nets) < 1e-6


FIRST = conv(32).replace("kernel_size: 1", "kernel_size: 3")


@pytest.mark.parametrize("behind", [POOL_LRN, LRN_POOL, pool("c", "y")], ids=["pool first", "LRN first", "pool alone"])
def test_blocks_of_a_first_convolution_become_channels_last(behind):
    nets = pair(net_of(behind, (2, 3, 20, 17), FIRST))
    (sweep,) = sweeps(nets[0])
    assert (sweep.x.name, sweep.y.name) == ("aBcd16b", "acdb") and distance(nets) < 1e-6


@pytest.mark.parametrize("behind, reason", [
    (pool("c", "y"), "a pooling alone, channels last already"),
    (pool("c", "d", "kernel_size: 5 stride: 1") + lrn("d", "y"), "a large window"),
    (pool("c", "d", "pool: AVE kernel_size: 3") + lrn("d", "y"), "averages"),
    (pool("c", "d") + lrn("d", "y", "local_size: 5 beta: 0.5"), "another exponent"),
    (pool("c", "d") + lrn("d", "y", "local_size: 3 norm_region: WITHIN_CHANNEL"), "within channels"),
    (POOL_LRN + lrn("d", "z").replace('"n"', '"m"'), "another reader"),
], ids=lambda value: value if len(value) < 40 else "")
def test_others_run_one_after_the_other(behind, reason):
    nets = pair(net_of(behind))
    assert not sweeps(nets[0]) and distance(nets) < 1e-6, reason


def test_channels_that_fill_no_vector_run_one_after_the_other():
    nets = pair(net_of(POOL_LRN, first=conv(24)))
    assert not sweeps(nets[0]) and distance(nets) < 1e-6


def test_values_that_are_kept_are_made():
    nets = pair(net_of(POOL_LRN), keep="all")
    assert not sweeps(nets[0]) and distance(nets) < 1e-6


def test_training_does_not_sweep():
    text = net_of(POOL_LRN) + 'layer { name: "l" type: "Reduction" bottom: "y" top: "l" loss_weight: 1 }'
    assert not sweeps(build_net(parse_net(text), Phase.TRAIN, keep="outputs"))


def test_a_new_shape_is_planned_anew():
    nets = pair(net_of(LRN_POOL))
    for shape in ((3, 16, 6, 5), (2, 16, 9, 11)):
        for net in nets:
            net.blobs["x"].reshape(shape)
            net.reshape()
        feed(nets)
        assert distance(nets) < 1e-6
