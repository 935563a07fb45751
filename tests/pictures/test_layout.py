"""Places: upright, without overlaps, and with lanes for what passes by."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from layerforge.netdef.filter import filter_net
from layerforge.netdef.types import NetState, Phase
from layerforge.pictures.diagram import diagram_of
from layerforge.pictures.layout import DIRECTIONS, lay_out
from layerforge.pictures.svg import box_size
from layerforge.schema.read import parse_net, read_net

ZOO = Path(__file__).parents[2] / "zoo"


def placed(definition, direction="TB"):
    diagram = diagram_of(definition)
    return diagram, lay_out(diagram, [box_size(box) for box in diagram.boxes], direction)


def overlap(a, b):
    return a[0] < b[0] + b[2] - 1 and b[0] < a[0] + a[2] - 1 and a[1] < b[1] + b[3] - 1 and b[1] < a[1] + a[3] - 1


@pytest.mark.parametrize("name", ["googlenet", "resnet50", "fcn8s", "lenet"])
def test_boxes_and_frames_do_not_overlap(name):
    for phase in Phase:
        definition = filter_net(read_net(ZOO / name / "train_val.prototxt"), NetState(phase))
        diagram, layout = placed(definition)
        assert not [pair for pair in itertools.combinations(layout.boxes, 2) if overlap(*pair)]
        assert not [pair for pair in itertools.combinations(layout.groups.values(), 2) if overlap(*pair)]
        for group, frame in layout.groups.items():
            others = [place for box, place in zip(diagram.boxes, layout.boxes) if box.group != group]
            assert not [place for place in others if overlap(frame, place)], group


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_spine_stands_in_a_line(direction):
    diagram, layout = placed(read_net(ZOO / "googlenet" / "deploy.prototxt"), direction)
    axis = 0 if direction in ("TB", "BT") else 1
    middles = {round(layout.boxes[i][axis] + layout.boxes[i][axis + 2] / 2) for i in diagram.spine}
    assert max(middles) - min(middles) <= 1
    assert len(diagram.spine) > 20


def test_everything_lies_within_the_picture():
    for direction in DIRECTIONS:
        _, layout = placed(read_net(ZOO / "lenet" / "train_val.prototxt"), direction)
        corners = [p for curve in layout.arrows for p in curve] + [box[:2] for box in layout.boxes]
        corners += [(x + w, y + h) for x, y, w, h in layout.boxes]
        assert min(min(p) for p in corners) >= -0.01
        assert max(x for x, _ in corners) <= layout.width + 0.01 and max(y for _, y in corners) <= layout.height + 0.01


def test_a_label_goes_beside_the_boxes_in_its_lane():
    diagram, layout = placed(filter_net(read_net(ZOO / "lenet" / "train_val.prototxt"), NetState(Phase.TRAIN)))
    [label] = [curve for arrow, curve in zip(diagram.arrows, layout.arrows) if arrow.blob == "label"]
    lane = max(x for x, _ in label)
    assert lane > max(x + w for x, _, w, _ in layout.boxes)
    assert label[-1][0] == pytest.approx(layout.boxes[-1][0] + layout.boxes[-1][2])


def test_a_second_input_stays_between_the_boxes_of_the_spine():
    text = "".join(f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{name}" }}' for name, kind, bottoms in [
        ("x", "Input", ""), ("a", "ReLU", 'bottom: "x"'), ("z", "Input", ""), ("z1", "ReLU", 'bottom: "z"'),
        ("z2", "ReLU", 'bottom: "z1"'), ("e", "Eltwise", 'bottom: "a" bottom: "z2"')])
    diagram, layout = placed(parse_net(text))
    tops = {box.title: place[1] for box, place in zip(diagram.boxes, layout.boxes)}
    assert tops["x"] < tops["a"] < tops["z"] < tops["z1"] < tops["z2"] < tops["e"]


def test_deep_nets_are_laid_out_block_by_block():
    text = ['layer { name: "x" type: "Input" top: "s0" }']
    for i in range(400):
        text += [f'layer {{ name: "a{i}" type: "Sigmoid" bottom: "s{i}" top: "a{i}" }}',
                 f'layer {{ name: "s{i}" type: "Eltwise" bottom: "s{i}" bottom: "a{i}" top: "s{i + 1}" }}']
    definition, start = parse_net("\n".join(text)), time.perf_counter()
    _, layout = placed(definition)
    assert len(layout.boxes) == 801
    assert time.perf_counter() - start < 10
