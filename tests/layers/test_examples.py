"""The example of every layer builds, and takes no memory while it does. They stand in layers/examples.py."""

from __future__ import annotations

import re

import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.core.workspace import Buffer
from layerforge.layers.examples import example_of, net, prototxt
from layerforge.layers.registry import built_in
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

WITH_FILES = [name for name, layer in sorted(built_in().items()) if example_of(layer).files]
TYPES = sorted(set(built_in()) - set(WITH_FILES))


@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.name)
@pytest.mark.parametrize("name", TYPES)
def test_no_layer_touches_memory_before_the_first_pass(name: str, phase: Phase) -> None:
    made = build_net(parse_net(net(built_in()[name]), "example.prototxt"), phase)
    made.reshape()
    layer = made.layers[-1]
    assert type(layer) is built_in()[name]
    blobs = [*made.blobs.values(), *(view.blob for view in layer.blobs)]
    held = [blob.name for blob in blobs if blob.data.allocated or blob.diff.allocated]
    held += [k for k, v in vars(layer).items() if isinstance(v, Buffer) and v._array is not None]
    assert not held and layer.workspace._block is None, f"memory was touched: {held}"


@pytest.mark.parametrize("name", WITH_FILES)
def test_an_example_that_needs_files_has_good_parameters(name: str) -> None:
    definition = parse_net(net(built_in()[name]), "example.prototxt").layers[-1]
    built_in()[name].Params.from_layer(definition.params, str(definition), definition.where)


def _emptied(name: str) -> str:
    """The example's net with no rows in its first input."""
    rows = example_of(built_in()[name]).bottoms[0][1][0]
    return net(built_in()[name]).replace(f"input_param {{ shape {{ dim: {rows} ", "input_param { shape { dim: 0 ")


@pytest.mark.parametrize("engines", [None, []], ids=["engine", "layers"])
@pytest.mark.parametrize("name", [name for name in TYPES if example_of(built_in()[name]).bottoms])
def test_a_batch_of_no_rows_passes_or_is_refused(name: str, engines: list | None) -> None:
    try:
        made = build_net(parse_net(f"force_backward: true {_emptied(name)}", "example.prototxt"), engines=engines)
        made.forward()
        made.backward()
    except LayerForgeError as error:
        assert "example.prototxt" in str(error)


def _in_place(name: str) -> str:
    """The example's net with the layer's first top named as its first bottom, which a Power makes."""
    layer = built_in()[name]
    first = example_of(layer).bottoms[0][0]
    inputs = net(layer)[: -len(prototxt(layer))]
    inside = prototxt(layer).replace(f'bottom: "{first}"', 'bottom: "h"', 1)
    inside = re.sub('top: "[^"]*"', 'top: "h"', inside, count=1)
    return f'{inputs}\nlayer {{ name: "h" type: "Power" bottom: "{first}" top: "h" }}\n{inside}'


@pytest.mark.parametrize("engines", [None, []], ids=["engine", "layers"])
@pytest.mark.parametrize("name", [name for name in TYPES if example_of(built_in()[name]).bottoms])
def test_a_layer_works_in_place_or_refuses(name: str, engines: list | None) -> None:
    try:
        made = build_net(parse_net(f"force_backward: true {_in_place(name)}", "example.prototxt"), engines=engines)
        made.forward()
        made.backward()
    except LayerForgeError as error:
        assert "example.prototxt" in str(error) and ("in place" in str(error) or "gradient" in str(error)), error


@pytest.mark.parametrize("name", ["Convolution", "Pooling", "InnerProduct", "Flatten", "EuclideanLoss"])
def test_a_layer_that_changes_shapes_or_needs_its_bottom_refuses_to_work_in_place(name: str) -> None:
    with pytest.raises(LayerForgeError, match=rf"\({name}\): cannot work in place.*\n  hint: give the top"):
        build_net(parse_net(_in_place(name), "example.prototxt"))
