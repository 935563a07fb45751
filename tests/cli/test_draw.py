"""`layerforge draw` takes the old tool's flags and shows any stage."""

from __future__ import annotations

import pytest

from layerforge.cli.main import main

NET = """
name: "tiny"
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" param { lr_mult: 3 }
        inner_product_param { num_output: 4 } }
layer { name: "extra" type: "ReLU" bottom: "ip" top: "ip" include { phase: TRAIN } }
layer { name: "a" type: "Sigmoid" bottom: "ip" top: "a" }
layer { name: "b" type: "TanH" bottom: "ip" top: "b" }
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return str(path)


@pytest.mark.parametrize(("stage", "words"), [
    ("read", 'name: "extra"'), ("filter", "phase: TEST"), ("split", "ip_ip_0_split_1"),
    ("wire", "2 ip_ip_0_split_0"), ("shapes", "(4, 3), (4,)"), ("gradients", "runs backward"),
    ("sharing", "ip.0       (4, 3)        3"), ("plan", "engine")])
def test_every_stage_is_printed(stage, words, net, capsys):
    assert main(["draw", net, "--after", stage]) == 0
    out = capsys.readouterr().out
    assert words in out
    assert ('"extra"' in out) == (stage == "read")


def test_the_old_tools_command_line_draws(net, tmp_path, capsys):
    picture = tmp_path / "net.svg"
    assert main(["draw", net, str(picture), "--rankdir", "LR", "--phase", "ALL", "--display_lrm"]) == 0
    assert all(words in picture.read_text() for words in ("only TRAIN", "lr ×3"))


def test_the_test_net_is_drawn_with_shapes(net, tmp_path, capsys):
    picture = tmp_path / "net.svg"
    assert main(["draw", net, "--out", str(picture)]) == 0
    text = picture.read_text()
    assert "2×4" in text
    assert "16 parameters" in text
    assert "extra" not in text


def test_the_plan_is_drawn_with_engines(net, tmp_path, capsys):
    picture = tmp_path / "net.svg"
    assert main(["draw", net, str(picture), "--after", "plan"]) == 0
    assert "_split" in picture.read_text()
    assert ">layer<" in picture.read_text() or ">ONEDNN<" in picture.read_text()


def test_a_net_whose_data_are_missing_is_drawn_without_shapes(tmp_path, capsys):
    path, picture = tmp_path / "net.prototxt", tmp_path / "net.svg"
    path.write_text("""
        layer { name: "d" type: "Data" top: "x" top: "y" data_param { source: "nowhere" batch_size: 2 } }
        layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 4 } }""")
    assert main(["draw", str(path), str(picture)]) == 0
    assert "drawn without shapes" in capsys.readouterr().err
    assert "InnerProduct" in picture.read_text()


def test_a_broken_net_is_an_error_with_its_place(tmp_path, capsys):
    path = tmp_path / "net.prototxt"
    path.write_text('layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" }')
    assert main(["draw", str(path), str(tmp_path / "net.svg")]) == 1
    assert "net.prototxt:1" in capsys.readouterr().err
    assert not (tmp_path / "net.svg").exists()


def test_without_picture_and_stage_the_usage_is_wrong(net, capsys):
    assert main(["draw", net]) == 2
    assert "name of a picture" in capsys.readouterr().err


def test_choices_of_a_flag_belong_to_its_command(net, capsys):
    assert main(["time", "--model", net, "--phase", "ALL"]) == 2
    assert "--phase takes TRAIN, TEST, got 'ALL'" in capsys.readouterr().err
