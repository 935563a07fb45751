"""Every layer can be recorded into a graph, or says why not. LayerTest tries it with each case of a layer's tests."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from layerforge.layers.base import Layer
from layerforge.layers.registry import built_in
from layerforge.testing import LayerTest
from layerforge.testing.capture import check_recordable

FOLDER = Path(__file__).resolve().parents[1] / "layers"
LAYERS = sorted(set(built_in().values()), key=lambda layer: layer.type)


def subjects_of_tests() -> Iterator[type[Layer]]:
    """The layers that a LayerTest is about."""
    for path in sorted(FOLDER.rglob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"_subjects_{path.stem}", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up
        try:
            spec.loader.exec_module(module)
        finally:
            del sys.modules[spec.name]
        for member in vars(module).values():
            if isinstance(member, type) and issubclass(member, LayerTest) and hasattr(member, "layer"):
                yield member.layer


@pytest.fixture(scope="module")
def subjects() -> set[type[Layer]]:
    return set(subjects_of_tests())


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
