"""Pictures as files: whole, well-formed, and drawn without any program or system font."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
import pytest

from layerforge.core import extras
from layerforge.core.errors import DataError, DeviceError
from layerforge.pictures.diagram import Box, Part, diagram_of
from layerforge.pictures.layout import lay_out
from layerforge.pictures.net import draw_net, net_picture
from layerforge.pictures.svg import box_size, net_svg
from layerforge.schema.read import parse_net

SVG = "{http://www.w3.org/2000/svg}"
TWO = """
layer { name: "data" type: "Input" top: "data" }
layer { name: "%s" type: "Convolution" bottom: "data" top: "conv" }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
"""


@pytest.fixture(autouse=True)
def no_programs(monkeypatch):
    monkeypatch.setenv("PATH", "")


def test_svg_is_well_formed_and_says_every_name():
    root = ElementTree.fromstring(net_svg(diagram_of(parse_net(TWO % "conv1"))))
    texts = {each.text for each in root.iter(f"{SVG}text")}
    assert {"net", "3 layers", "data", "Input", "conv1", "Convolution", "ReLU"} <= texts


def test_names_with_marks_of_xml_and_controls_stay_well_formed():
    root = ElementTree.fromstring(net_svg(diagram_of(parse_net(TWO % r"<a & 'b'>\001"))))
    assert "<a & 'b'>\N{REPLACEMENT CHARACTER}" in {each.text for each in root.iter(f"{SVG}text")}


def test_png_is_a_picture_with_colours():
    pixels = cv2.imdecode(np.frombuffer(net_picture(parse_net(TWO % "conv1"), "png"), np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape[0] > 300
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


def test_png_has_letters_without_system_fonts():
    with_name = net_picture(parse_net(TWO % "mmm"), "png")
    assert with_name != net_picture(parse_net(TWO % "iii"), "png")


@pytest.mark.parametrize(("direction", "axis", "sign"), [("TB", 1, 1), ("BT", 1, -1), ("LR", 0, 1), ("RL", 0, -1)])
def test_data_flow_in_the_direction_asked_for(direction, axis, sign):
    diagram = diagram_of(parse_net(TWO % "conv1"))
    first, second = lay_out(diagram, [(100, 40), (100, 40)], direction).boxes
    assert sign * (second[axis] - first[axis]) > 40


def test_boxes_do_not_overlap():
    text = 'layer { name: "x" type: "Input" top: "x" }' + "".join(
        f'layer {{ name: "l{i}" type: "Sigmoid" bottom: "x" top: "l{i}" }}' for i in range(12))
    diagram = diagram_of(parse_net(text))
    boxes = lay_out(diagram, [box_size(box) for box in diagram.boxes]).boxes
    for i, (x, y, w, h) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[:i]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_a_longer_name_makes_a_wider_box():
    sizes = [box_size(Box((Part(name, "ReLU", "ReLU"),), name))[0] for name in ("a" * 20, "a" * 40)]
    assert sizes[1] > 1.5 * sizes[0]


def test_two_arrows_between_two_boxes_are_both_drawn():
    text = """layer { name: "x" type: "Input" top: "x" }
              layer { name: "e" type: "Eltwise" bottom: "x" bottom: "x" top: "e" }"""
    layout = lay_out(diagram_of(parse_net(text)), [(50, 20), (50, 20)])
    assert len(set(layout.arrows)) == 2


def test_a_net_without_layers_is_a_title():
    assert b"<svg" in net_picture(parse_net('name: "empty"'), "svg")


def test_graphviz_text_needs_no_package(monkeypatch):
    monkeypatch.setattr(extras.importlib, "import_module", lambda name: pytest.fail(f"imports {name}"))
    text = net_picture(parse_net(TWO % 'a\\"b'), "dot", direction="LR").decode()
    assert 'n0 -> n1' in text
    assert 'a\\"b' in text


def test_an_unknown_ending_names_the_known_ones(tmp_path):
    with pytest.raises(DataError, match=r"svg, png, dot.*'bmp'"):
        draw_net(parse_net(TWO % "c"), str(tmp_path / "net.bmp"))


def test_a_missing_package_says_how_to_get_it(monkeypatch, tmp_path):
    def missing(name):
        raise ImportError(f"No module named {name!r}")
    monkeypatch.setattr(extras.importlib, "import_module", missing)
    with pytest.raises(DeviceError, match=r"layerforge\[pictures\]"):
        draw_net(parse_net(TWO % "c"), str(tmp_path / "net.png"))
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_written_whole(tmp_path):
    draw_net(parse_net(TWO % "c"), str(tmp_path / "net.svg"))
    assert [path.name for path in tmp_path.iterdir()] == ["net.svg"]
