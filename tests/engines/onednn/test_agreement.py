"""What the oneDNN engine takes, per layer type and option, and that it agrees with the layers' own maths."""

import pytest
from engines_compare import Pair, net_text

from layerforge.core.errors import DeviceError
from layerforge.netdef.types import Phase

try:
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)

FILL = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.3 }'


def conv(fields, kind="Convolution"):
    return f"{kind} x data > x {{ convolution_param {{ {FILL} {fields} }} }}"


def layer(kind, fields="", tops="x"):
    return f"{kind} x data > {tops} {{ {fields} }}"


def pool(fields):
    return layer("Pooling", f"pooling_param {{ {fields} }}")


def ip(fields):
    return layer("InnerProduct", f"inner_product_param {{ {FILL} {fields} }}")


ACCEPTED = {
    "convolution": conv("num_output: 5 kernel_size: 3"),
    "convolution of 16 channels": conv("num_output: 16 kernel_size: 3 pad: 1"),
    "convolution, stride and pad": conv("num_output: 5 kernel_size: 3 stride: 2 pad: 1"),
    "convolution, other height and width": conv(
        "num_output: 5 kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 2 pad_h: 2 pad_w: 0"
    ),
    "convolution 1×1": conv("num_output: 7 kernel_size: 1"),
    "convolution 1×1, stride": conv("num_output: 7 kernel_size: 1 stride: 2"),
    "convolution without bias": conv("num_output: 5 kernel_size: 3 bias_term: false"),
    "convolution in groups": conv("num_output: 4 kernel_size: 3 group: 2"),
    "convolution, dilated": conv("num_output: 5 kernel_size: 3 dilation: 2 pad: 2"),
    "convolution, four pads": conv("num_output: 5 kernel_size: 3 pad_t: 1 pad_l: 2 pad_b: 0 pad_r: 1"),
    "depthwise by groups": conv("num_output: 6 kernel_size: 3 group: 6 pad: 1"),
    "depthwise by type": conv("num_output: 6 kernel_size: 3 pad: 1", "DepthwiseConvolution"),
    "depthwise, two outputs each": conv("num_output: 12 kernel_size: 3 pad: 1", "DepthwiseConvolution"),
    "deconvolution": conv("num_output: 5 kernel_size: 3 stride: 2", "Deconvolution"),
    "deconvolution, pad": conv("num_output: 5 kernel_size: 4 stride: 2 pad: 1", "Deconvolution"),
    "deconvolution in groups": conv("num_output: 6 kernel_size: 4 stride: 2 pad: 1 group: 3", "Deconvolution"),
    "deconvolution, depthwise": conv(
        "num_output: 6 kernel_size: 4 stride: 2 pad: 1 group: 6 bias_term: false", "Deconvolution"
    ),
    "inner product": ip("num_output: 5"),
    "inner product without bias": ip("num_output: 5 bias_term: false"),
    "inner product of inner axes": ip("num_output: 5 axis: 2"),
    "inner product, transposed": ip("num_output: 5 transpose: true"),
    "max pooling": pool("kernel_size: 2 stride: 2"),
    "max pooling, overlapping, rounding up": pool("kernel_size: 3 stride: 2"),
    "max pooling, pad": pool("kernel_size: 3 stride: 2 pad: 1"),
    "max pooling, floor": pool("kernel_size: 3 stride: 2 round_mode: FLOOR"),
    "max pooling, global": pool("global_pooling: true"),
    "average pooling": pool("pool: AVE kernel_size: 2 stride: 2"),
    "average pooling, rounding up": pool("pool: AVE kernel_size: 3 stride: 2"),
    "average pooling, pad": pool("pool: AVE kernel_size: 3 stride: 1 pad: 1"),
    "average pooling, global": pool("pool: AVE global_pooling: true"),
    "average pooling without padding": pool("pool: AVE_EXC_PAD kernel_size: 3 stride: 2 pad: 1"),
    "LRN": layer("LRN", "lrn_param { alpha: 0.5 }"),
    "LRN, other numbers": layer("LRN", "lrn_param { local_size: 3 alpha: 0.1 beta: 0.5 k: 2 }"),
    "softmax": layer("Softmax"),
    "softmax, last axis": layer("Softmax", "softmax_param { axis: -1 }"),
    "ReLU": layer("ReLU"),
    "ReLU, leaky": layer("ReLU", "relu_param { negative_slope: 0.1 }"),
    "ReLU, negative slope below zero": layer("ReLU", "relu_param { negative_slope: -0.1 }"),
    "ReLU6": layer("ReLU6", "relu6_param { threshold: 0.7 }"),
    "ELU": layer("ELU", "elu_param { alpha: 0.7 }"),
    "sigmoid": layer("Sigmoid"),
    "tanh": layer("TanH"),
    "swish": layer("Swish", "swish_param { beta: 1.5 }"),
    "BNLL": layer("BNLL"),
    "dropout": layer("Dropout"),
    "dropout, unscaled": layer("Dropout", "dropout_param { dropout_ratio: 0.3 scale_train: false }"),
    "flatten": layer("Flatten"),
    "flatten, inner axes": layer("Flatten", "flatten_param { axis: 2 }"),
    "reshape": layer("Reshape", "reshape_param { shape { dim: 0 dim: 3 dim: -1 } }"),
    "squeeze": layer("Squeeze"),
    "expanded axes": layer("ExpandDimsND", "expand_dims_nd_param { axis: 1 }"),
}
REFUSED = {
    "stochastic pooling": (pool("pool: STOCHASTIC kernel_size: 2 stride: 2"), "stochastic"),
    "average over an overhang and padding": (pool("pool: AVE kernel_size: 4 stride: 3 pad: 1"), "divisor"),
    "max pooling with places": (layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", "x m"), "places"),
    "LRN within channels": (layer("LRN", "lrn_param { norm_region: WITHIN_CHANNEL }"), "WITHIN_CHANNEL"),
    "ReLU with limits": (layer("ReLU", "relu_param { relu6: true }"), "limits"),
}


@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.TEST])
@pytest.mark.parametrize("name", ACCEPTED)
def test_the_engine_takes_it_and_agrees(name, phase):
    pair = Pair(net_text(ACCEPTED[name]), phase)
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
