"""Every layer that ONNX can say gives the same numbers in ONNX Runtime: its example, and every recorded case."""

from __future__ import annotations

import numpy as np
import pytest
from golden_cases import GOLDEN, load, part
from onnx_cases import assert_agrees, set_values

from layerforge.core.errors import NetError
from layerforge.core.random import Random
from layerforge.io.onnx.export import onnx_model
from layerforge.io.onnx.graph import CONVERTERS
from layerforge.io.onnx.select import METRICS
from layerforge.layers.examples import example_of, net
from layerforge.layers.registry import built_in
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

TYPES = built_in()
EXAMPLES = sorted(name for name, layer in TYPES.items() if layer.type == name and not example_of(layer).files)


def is_a_net(path):
    """Whether a recorded case is a net without files."""
    with np.load(path) as case:
        return "kind" not in case.files and not any(key.startswith(("file.", "needs_files")) for key in case.files)


CASES = sorted(p for folder in ("layers", "forks") for p in (GOLDEN / folder).glob("*.npz") if is_a_net(p))
RNG = np.random.default_rng(7)
FEEDS = {  # what random numbers would not do for
    "Embed": {"data": RNG.integers(0, 1000, (8, 4))},
    "BatchReindex": {"index": np.array([1, 0, 1, 1, 0])},
    "Filter": {"selector": np.array([0, 1])},
    "GatherV2": {"data2": RNG.integers(0, 2, (2, 3, 8, 8))},
    "Log": {"data": RNG.uniform(1, 2, (2, 3, 8, 8))},
    "ReverseSequence": {"lengths": np.array([2, 5])},
    "ROIPooling": {"rois": np.array([[0, 0, 0, 100, 90], [0, 30, 40, 200, 220], [0, 7, 8, 9, 9], [0, 16, 0, 60, 8],
                                     [0, 90, 90, 30, 30]])},
    "Upsample": {"mask": np.arange(0, 192, 2).reshape(2, 3, 4, 4) % 64},
}


def stays(layer, outputs):
    """Whether a layer is part of an exported net."""
    name = layer.definition.type
    if name == "Split":
        return not set(outputs).isdisjoint(layer.definition.tops)
    if name == "DummyData":
        return all(filler.type == "constant" for filler in layer.params.data_filler)
    return (TYPES[name].bottoms != 0 or name == "Parameter") and not TYPES[name].loss and name not in METRICS


def sayable(made):
    """Whether ONNX has all of the net's layers that stay, and some do."""
    types = [layer.definition.type for layer in made.layers if stays(layer, made.outputs)]
    return bool(types) and all(name in CONVERTERS for name in types)


@pytest.mark.parametrize("opset", [13, 18, 21])
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_layer_agrees_or_is_refused(name, opset):
    made = build_net(parse_net(net(TYPES[name])), engines=(), rng=Random(5))
    if sayable(made):
        feed = {key: values for key, values in FEEDS.get(name, {}).items() if key in made.blobs}
        assert_agrees(made, feed, opset=opset)
    else:
        with pytest.raises(NetError):
            onnx_model(made, opset=opset)


@pytest.mark.parametrize("path", CASES, ids=[f"{path.parent.name}/{path.stem}" for path in CASES])
def test_a_recorded_case_agrees_or_is_refused(path):
    case = load(path)
    definition = parse_net(str(case["prototxt"]))
    made = build_net(definition, Phase.TEST, engines=(), rng=Random(5))
    for blob, shape in part(case, "reshape.").items():
        made.blobs[blob].reshape([int(n) for n in shape])
    made.reshape()
    for key, value in part(case, "param.").items():
        layer, index = key.rsplit(".", 1)
        if layer in made.params:  # not a layer of the TRAIN phase
            set_values(made.params[layer][int(index)], value)
    if sayable(made):
        assert_agrees(made, part(case, "in."))
    else:
        with pytest.raises(NetError):
            onnx_model(made)


def test_most_layers_can_be_said():
    assert {"Convolution", "Pooling", "LSTM", "ROIPooling", "Filter", "PriorBox"} <= set(CONVERTERS) <= set(TYPES)
