"""Old formats against what Caffe's own upgrade tools wrote."""

import logging
from pathlib import Path

import pytest

from layerforge.core.errors import PrototxtError
from layerforge.schema.parse import parse
from layerforge.schema.read import parse_net, parse_solver, read_net, read_solver
from layerforge.schema.upgrade import upgrade_net, upgrade_solver
from layerforge.schema.write import net_text, solver_text, tree_text

FOLDER = Path(__file__).parents[1] / "golden" / "files" / "upgrade"
OLD = sorted(path.name for path in FOLDER.glob("*.prototxt") if ".upgraded" not in path.name)


@pytest.mark.parametrize("name", OLD)
def test_upgrades_give_the_text_that_caffe_writes(name):
    path = FOLDER / name
    text = solver_text(read_solver(path)) if name.startswith("solver") else net_text(read_net(path))
    assert text == path.with_suffix(".upgraded.prototxt").read_text()


@pytest.mark.parametrize("name", [name for name in OLD if name.startswith("net")])
def test_an_upgraded_net_is_not_upgraded_again(name):
    text = (FOLDER / name).with_suffix(".upgraded.prototxt").read_text()
    tree = parse(text, name, "NetParameter")
    assert upgrade_net(tree, name) is tree


def test_each_file_gives_one_warning(caplog):
    with caplog.at_level(logging.WARNING, "layerforge"):
        read_net(FOLDER / "net_v0.prototxt")
    assert len(caplog.records) == 1 and "layers of the first format (V0)" in caplog.text


def test_upgraded_fields_keep_their_places():
    net = read_net(FOLDER / "net_v0.prototxt")
    conv = next(layer for layer in net.layers if layer.name == "c2")
    assert conv.where.line == 13
    assert conv.params["convolution_param"].value["pad"].value[0].where.line == 12  # the padding layer's


def test_layer_and_layers_in_one_net_are_refused():
    with pytest.raises(PrototxtError, match="f:2: the net has both `layer` and the older `layers`"):
        parse_net("layer { }\nlayers { }", "f")


@pytest.mark.parametrize(
    "text, told",
    [
        ('input: "a"', "input 'a' has no shape"),
        ('input: "a" input_dim: 1', "1 inputs, but 1 input_dim"),
        ('input: "a" input: "b" input_shape { dim: 1 }', "2 inputs, but 1 input_shape"),
    ],
)
def test_inputs_need_their_shapes(text, told):
    with pytest.raises(PrototxtError, match="f:1: " + told):
        parse_net(text, "f")


def test_a_padding_layer_before_anything_but_conv_and_pool_is_refused():
    text = """layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "y" }
    layers { layer { name: "r" type: "relu" } bottom: "y" top: "y" }"""
    with pytest.raises(PrototxtError, match=r"f:2: layer 'r' \(relu\): only conv and pool can read a padding layer"):
        parse_net(text, "f")


def test_an_unknown_type_of_the_first_format_is_told():
    with pytest.raises(PrototxtError, match="the first format has no layer type 'convv'\n  hint: did you mean 'conv'"):
        parse_net('layers { layer { name: "p" type: "convv" } }', "f")


def test_fields_that_mean_nothing_to_a_type_of_the_first_format_are_ignored_with_a_warning(caplog):
    net = parse_net('layers { layer { name: "r" type: "relu" num_output: 3 } }', "f")
    assert dict(net.layers[0].params) == {} and "num_output means nothing to this type" in caplog.text


def test_batch_norm_with_other_than_three_specs_stays_as_it_is():
    net = parse_net('layer { name: "b" type: "BatchNorm" param { lr_mult: 1 } }')
    assert net.layers[0].param[0].lr_mult == 1.0


def test_type_and_solver_type_together_are_refused():
    with pytest.raises(PrototxtError, match="type and the older solver_type cannot both be given"):
        parse_solver('type: "SGD" solver_type: ADAM')


def test_nets_inside_a_solver_are_upgraded():
    tree = upgrade_solver(parse('net_param { layers { name: "r" type: RELU } }', "f", "SolverParameter"))
    assert tree_text(tree, "SolverParameter") == 'net_param {\n  layer {\n    name: "r"\n    type: "ReLU"\n  }\n}\n'
