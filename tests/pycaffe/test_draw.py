"""caffe.draw, without Graphviz."""

from __future__ import annotations

import re

import pytest
from google.protobuf import text_format

from layerforge import TEST, TRAIN, draw, proto
from layerforge.core.errors import DataError

from .conftest import SMALL

LEARNS = 'layer { name: "ip2" type: "InnerProduct" bottom: "ip" top: "ip2" param { lr_mult: 3 } param { lr_mult: 7 } }'
PHASES = ('layer { name: "seen" type: "ReLU" bottom: "ip" top: "a" include { phase: TEST } }'
          'layer { name: "unseen" type: "ReLU" bottom: "ip" top: "b" exclude { phase: TEST } }')


def message(more=""):
    return text_format.Merge(SMALL + more, proto.caffe_pb2.NetParameter())


def svg(*args, **more):
    return draw.draw_net(message(*args), "LR", ext="svg", **more).decode()


def test_every_layer_is_drawn():
    made = svg()
    assert made.startswith("<svg") and all(f">{name}<" in made for name in ("conv", "pool", "ip", "loss"))


def test_png_is_the_usual_kind():
    assert draw.draw_net(message(), "LR").startswith(b"\x89PNG\r\n")


def test_the_direction_turns_the_picture():
    def size(rankdir):
        made = draw.draw_net(message(), rankdir, ext="svg").decode()
        return [int(n) for n in re.search(r'width="(\d+)" height="(\d+)"', made).groups()]

    (wide, low), (narrow, high) = size("LR"), size("TB")
    assert wide > narrow and high > low


def test_learning_rates_are_shown_when_asked_for():
    assert svg(LEARNS) != svg(LEARNS, display_lrm=True)
    assert re.search("lr.*3.*7", svg(LEARNS, display_lrm=True))


@pytest.mark.parametrize("phase, names", [(None, {"seen", "unseen"}), (TEST, {"seen"}), (TRAIN, {"unseen"})])
def test_a_phase_chooses_layers(phase, names):
    text = draw.get_pydot_graph(message(PHASES), "LR", phase=phase).to_string()
    assert {name for name in ("seen", "unseen") if re.search(rf"\b{name}\b", text)} == names


@pytest.mark.parametrize("name, start", [("n.svg", b"<svg"), ("n.png", b"\x89PNG"), ("n.dot", b"digraph")])
def test_the_ending_tells_the_kind(tmp_path, name, start):
    draw.draw_net_to_file(message(), tmp_path / name, "TB")
    assert (tmp_path / name).read_bytes().startswith(start)


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(DataError, match="'xcf' is none of them"):
        draw.draw_net_to_file(message(), tmp_path / "n.xcf")
    assert list(tmp_path.iterdir()) == []


def test_nets_of_the_old_formats_are_drawn():
    text = ('name: "old" input: "data" input_dim: 1 input_dim: 1 input_dim: 4 input_dim: 4 '
            'layers { name: "relu" type: RELU bottom: "data" top: "y" }')
    old = text_format.Merge(text, proto.caffe_pb2.NetParameter())
    assert ">relu<" in draw.draw_net(old, "LR", ext="svg").decode()
