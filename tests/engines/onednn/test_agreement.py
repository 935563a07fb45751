"""What the oneDNN engine takes, per layer type and option, and that it agrees with the layers' own maths."""

import pytest
from engine_cases import ACCEPTED, FILL, layer, pool
from engines_compare import Pair, net_text

from layerforge.core.errors import DeviceError
from layerforge.netdef.types import Phase

try:
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)

REFUSED = {
    "stochastic pooling": (pool("pool: STOCHASTIC kernel_size: 2 stride: 2"), "stochastic"),
    "average over an overhang and padding": (pool("pool: AVE kernel_size: 4 stride: 3 pad: 1"), "divisor"),
    "max pooling with places": (layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", "x m"), "places"),
    "LRN within channels": (layer("LRN", "lrn_param { norm_region: WITHIN_CHANNEL }"), "WITHIN_CHANNEL"),
    "another power": (layer("Power", "power_param { power: 2 }"), "power 1 alone"),
    "power 1 in place": (layer("Power", "power_param { scale: 2 }", "data"), "in place"),
    "ReLU with limits": (layer("ReLU", "relu_param { relu6: true }"), "limits"),
}


@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.TEST])
@pytest.mark.parametrize("name", ACCEPTED)
def test_the_engine_takes_it_and_agrees(name, phase):
    pair = Pair(net_text(ACCEPTED[name]), phase)
    assert pair.lowered()["x"] == "ONEDNN", pair.refusals()
    pair.run()
    pair.run()


@pytest.mark.parametrize("kind", ["Swish", "BNLL", "Softplus", "Sigmoid", "TanH", "ReLU", "ELU"])
def test_in_place_behind_a_convolution_it_agrees(kind):
    first = f"Convolution c data > c {{ convolution_param {{ num_output: 20 kernel_size: 3 {FILL} }} }}"
    pair = Pair(net_text(first, f"{kind} x c > c"))
    assert pair.lowered()["x"] == "ONEDNN", pair.refusals()
    pair.run()
    pair.run()


@pytest.mark.parametrize("name", REFUSED)
def test_the_engine_says_why_it_does_not_take_it(name):
    text, reason = REFUSED[name]
    pair = Pair(net_text(text))
    assert pair.lowered()["x"] == "layer"
    assert reason in pair.refusals()["x"]


@pytest.mark.parametrize(
    "name", ["convolution of 16 channels", "max pooling", "LRN", "ReLU", "softmax", "average pooling, pad"]
)
def test_behind_a_blocked_layout_it_agrees(name):
    first = f"Convolution c data > c {{ convolution_param {{ num_output: 20 kernel_size: 3 pad: 1 {FILL} }} }}"
    pair = Pair(net_text(first, ACCEPTED[name].replace("data", "c")))
    pair.run()
    pair.run()
