"""What stands in a picture: boxes, parts, arrows, groups, and the words on them."""

from __future__ import annotations

import pytest

from layerforge.layers.examples import EXAMPLES
from layerforge.net.build import build_net
from layerforge.netdef.splits import insert_splits
from layerforge.pictures.diagram import diagram_of, facts_of
from layerforge.pictures.families import OTHER, family_of
from layerforge.pictures.words import count_words, describe, shape_words
from layerforge.schema.read import parse_net

SMALL = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
        convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "block/a" type: "Pooling" bottom: "conv" top: "a" pooling_param { pool: AVE global_pooling: true } }
layer { name: "block/b" type: "Pooling" bottom: "conv" top: "b" pooling_param { kernel_size: 4 } }
layer { name: "block/sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }
"""
PHASES = """
layer { name: "d" type: "Data" top: "x" top: "y" include { phase: TRAIN } }
layer { name: "d" type: "Data" top: "x" top: "y" include { phase: TEST } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "y" top: "accuracy" include { phase: TEST } }
"""


def ends(diagram):
    """(name of source, name of target) of every arrow."""
    return [(diagram.boxes[a.source].parts[0].name, diagram.boxes[a.target].parts[0].name) for a in diagram.arrows]


def facts(text):
    net = build_net(parse_net(text))
    return facts_of(net.graph, net.layers, [blob.shape for blob in net.blob_list])


def test_layers_in_place_are_parts_of_their_producers_box():
    boxes = diagram_of(parse_net(SMALL)).boxes
    assert [[part.name for part in box.parts] for box in boxes][:2] == [["data"], ["conv", "bn", "relu"]]


def test_a_layer_in_place_behind_another_reader_keeps_its_own_box():
    text = SMALL + 'layer { name: "late" type: "ReLU" bottom: "conv" top: "conv" }'
    assert [part.name for part in diagram_of(parse_net(text)).boxes[-1].parts] == ["late"]


def test_arrows_go_from_producer_to_readers():
    assert ends(diagram_of(parse_net(SMALL))) == [
        ("data", "conv"), ("conv", "block/a"), ("conv", "block/b"), ("block/a", "block/sum"), ("block/b", "block/sum")]


def test_shapes_and_counts_stand_on_boxes():
    box = diagram_of(parse_net(SMALL), facts(SMALL)).boxes[1]
    assert (box.shape, box.count) == ("2×4×4×4", "112")


def test_shared_parameters_count_once():
    layer = """layer { name: "%s" type: "InnerProduct" bottom: "x" top: "%s" param { name: "w" } param { name: "b" }
                       inner_product_param { num_output: 2 } }"""
    source = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }'
    text = source + layer % ("p", "p") + layer % ("q", "q")
    diagram = diagram_of(parse_net(text), facts(text))
    assert [box.count for box in diagram.boxes] == ["", "8", ""]
    assert diagram.subtitle == "3 layers · 8 parameters"


def test_facts_of_the_split_net_fit_the_net_before_splits():
    definition = parse_net(SMALL)
    assert [box.shape for box in diagram_of(definition, facts(SMALL)).boxes if not box.shape] == []
    assert len(diagram_of(insert_splits(definition), facts(SMALL)).boxes) == 1 + len(diagram_of(definition).boxes)


def test_names_with_one_beginning_make_a_group_and_lose_it():
    diagram = diagram_of(parse_net(SMALL))
    assert diagram.groups == ("block",)
    assert [box.title for box in diagram.boxes if box.group] == ["a", "b", "sum"]


def test_branches_of_residual_nets_are_groups():
    layers = "".join(f'layer {{ name: "{name}" type: "Eltwise" bottom: "x" bottom: "x" top: "{name}" }}'
                     for name in ("res2a_branch1", "res2a_branch2a", "res2a", "pool"))
    text = 'layer { name: "x" type: "Input" top: "x" }' + layers
    assert [box.group for box in diagram_of(parse_net(text)).boxes] == ["", "res2a", "res2a", "res2a", ""]


def test_learning_rates_are_shown_when_asked_for():
    assert diagram_of(parse_net(SMALL), learning_rates=True).boxes[1].lines == ("lr ×1, ×2",)
    assert diagram_of(parse_net(SMALL)).boxes[1].lines == ()


def test_both_phases_of_a_net_stand_in_one_picture():
    diagram = diagram_of(parse_net(PHASES))
    assert [box.lines for box in diagram.boxes] == [("only TRAIN",), ("only TEST",), (), (), ("only TEST",)]
    arrows = sorted((arrow.source, arrow.target) for arrow in diagram.arrows)
    assert arrows == [(0, 2), (0, 3), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4)]


def test_a_blob_is_named_once_where_its_layer_has_several():
    labels = [arrow.label for arrow in diagram_of(parse_net(PHASES)).arrows if arrow.source == 1]
    assert sorted(labels) == ["", "x", "y"]


@pytest.mark.parametrize(("layer", "words"), [
    ("Convolution convolution_param { kernel_h: 1 kernel_w: 7 pad_w: 3 group: 2 }", "Convolution 1×7 pad 0×3 group 2"),
    ("Pooling pooling_param { kernel_size: 3 stride: 2 }", "Pooling MAX 3×3 /2"),
    ("Pooling pooling_param { pool: AVE global_pooling: true }", "Pooling AVE global"),
    ("Dropout dropout_param { dropout_ratio: 0.4 }", "Dropout 0.4"),
    ("ReLU", "ReLU"),
    ("Permute permute_param { order: 0 order: 2 }", "Permute 0, 2"),
    ("Python python_param { module: 'm' layer: 'L' }", "Python m.L"),
    ("NobodyKnows", "NobodyKnows"),
])
def test_words_tell_layers_of_one_type_apart(layer, words):
    name, _, params = layer.partition(" ")
    assert describe(parse_net(f'layer {{ name: "l" type: "{name}" {params} }}').layers[0]) == words


@pytest.mark.parametrize(("count", "words"), [
    (0, "0"), (9536, "9,536"), (24_704, "24.7 K"), (999_999, "1000 K"), (37_752_832, "37.8 M"), (2 * 10**9, "2 G")])
def test_counts_in_few_characters(count, words):
    assert count_words(count) == words


def test_shapes_in_few_characters():
    assert (shape_words((1, 64, 56, 56)), shape_words(())) == ("1×64×56×56", "scalar")


@pytest.mark.parametrize("name", sorted(example for example in EXAMPLES if example != "Python"))
def test_layers_have_a_family(name):
    assert family_of(name) is not OTHER


def test_an_unknown_type_has_a_colour_too():
    assert family_of("NobodyKnows") is OTHER
