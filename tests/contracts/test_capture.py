"""Every layer can be recorded into a graph, or says why not. LayerTest tries it with each case of a layer's tests."""

from __future__ import annotations

import numpy as np
import pytest
from layer_tests import layer_tests

from layerforge.layers.base import Layer
from layerforge.layers.registry import built_in
from layerforge.testing.capture import check_recordable

LAYERS = sorted(set(built_in().values()), key=lambda layer: layer.type)


@pytest.fixture(scope="module")
def subjects() -> set[type[Layer]]:
    return {each.layer for each in layer_tests().values()}


# Layers without bottoms or tops, which a LayerTest cannot be about: parameters, inputs, number of tops.
BARE = {
    "Input": ({"shape": {"dim": [2, 3]}}, [], 1),
    "Parameter": ({"shape": {"dim": [2, 3]}}, [], 1),
    "Silence": ({}, [np.ones((2, 3))], 0),
}


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.type)
def test_layer_is_recorded_in_its_test_or_says_why_not(layer: type[Layer], subjects: set[type[Layer]]) -> None:
    assert layer.captured == (not layer.uncaptured_reason), "captured = False and uncaptured_reason go together"
    if layer.type in BARE:
        case, inputs, tops = BARE[layer.type]
        check_recordable(layer, case, inputs, tops=tops)
    elif layer.captured and layer.arrays == "device":
        assert layer in subjects, f"no LayerTest under tests/layers is about {layer.type}"
