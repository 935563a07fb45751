"""The registry: what is there, and what is said about what is not."""

from __future__ import annotations

import pytest

from layerforge.core.errors import NetError
from layerforge.layers import registry
from layerforge.layers.base import Layer
from layerforge.layers.registry import KNOWN_FROM_FORKS, built_in, layer_class, layer_types, register
from layerforge.netdef.types import LayerDef, Where

CAFFE = """
    AbsVal Accuracy ArgMax BatchNorm BatchReindex Bias BNLL Clip Concat ContrastiveLoss Convolution Crop Data
    Deconvolution Dropout DummyData Eltwise ELU Embed EuclideanLoss Exp Filter Flatten HDF5Data HDF5Output HingeLoss
    Im2col ImageData InfogainLoss InnerProduct Input Log LRN LSTM LSTMUnit MemoryData MultinomialLogisticLoss MVN
    Parameter Pooling Power PReLU Python Reduction ReLU Reshape RNN Scale Sigmoid SigmoidCrossEntropyLoss Silence
    Slice Softmax SoftmaxWithLoss Split SPP Swish TanH Threshold Tile WindowData
""".split()

FORKS_OF_THE_ZOO = """
    Permute ShuffleChannel Axpy ReLU6 DepthwiseConvolution ConvolutionDepthwise Normalize Interp BN SmoothL1Loss
    ROIPooling Upsample
""".split()


def test_caffe_has_61_types() -> None:
    assert len(set(CAFFE)) == 61


@pytest.mark.parametrize("name", CAFFE + FORKS_OF_THE_ZOO)
def test_the_type_is_there(name: str) -> None:
    assert name in built_in()


def definition(kind: str) -> LayerDef:
    return LayerDef("one", kind, where=Where("net.prototxt", 7))


def test_an_unknown_type_suggests_the_nearest() -> None:
    with pytest.raises(NetError) as caught:
        layer_class(definition("Convolutoin"))
    first, second = str(caught.value).split("\n")
    assert first == "net.prototxt:7: layer 'one' (Convolutoin): there is no layer type 'Convolutoin'"
    assert second == "  hint: did you mean 'Convolution'?"


def test_a_type_of_a_fork_that_is_missing_is_called_known() -> None:
    missing = sorted(set(KNOWN_FROM_FORKS) - set(layer_types()))
    for kind in missing:
        with pytest.raises(NetError, match="known from .*, not implemented"):
            layer_class(definition(kind))


def test_a_plugin_is_found_by_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", {})
    mine = type("OfThisTest", (Layer,), {"type": "OfThisTest", "reshape": lambda *_: None, "forward": lambda *_: None})
    assert register(mine) is mine and layer_class(definition("OfThisTest")) is mine


def test_a_plugin_needs_a_type() -> None:
    with pytest.raises(NetError, match="names no type"):
        register(type("Nameless", (Layer,), {}))
