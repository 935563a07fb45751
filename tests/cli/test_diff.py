"""diff says what differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerforge.cli.diff import DIFFERENT
from layerforge.cli.main import main

FILES = Path(__file__).parents[1] / "golden" / "files"
NET = """name: "n"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" param { lr_mult: 1 }
  inner_product_param { num_output: 4 } }
layer { name: "r" type: "ReLU" bottom: "y" top: "y" }
"""


@pytest.fixture
def diff(tmp_path, capsys):
    """Runs the command on NET and a changed NET; returns exit code and lines."""
    def run(*changes):
        text = NET
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "a").write_text(NET)
        (tmp_path / "b").write_text(text)
        code = main(["diff", str(tmp_path / "a"), str(tmp_path / "b")])
        return code, capsys.readouterr().out.splitlines()

    return run


def test_equal_nets_are_the_same(diff):
    assert diff() == (0, ["the nets are the same, layer by layer"])


def test_old_and_upgraded_format_are_the_same(capsys):
    for name in ("net_v0", "net_v1"):
        old, new = FILES / "upgrade" / f"{name}.prototxt", FILES / "upgrade" / f"{name}.upgraded.prototxt"
        assert main(["diff", str(old), str(new)]) == 0


def test_changed_fields_are_listed_by_their_names(diff):
    code, lines = diff(("num_output: 4", "num_output: 5"), ("lr_mult: 1", "lr_mult: 2"), ('"n"', '"m"'))
    assert code == DIFFERENT
    assert lines == ["~ name: 'n' → 'm'", "~ layer 'ip' (InnerProduct)", "    param[0].lr_mult: 1.0 → 2.0",
                     "    inner_product_param.num_output: 4 → 5"]


def test_layers_of_one_side_are_listed_with_their_line(diff, tmp_path):
    code, lines = diff(('name: "r"', 'name: "relu"'))
    assert lines == [f"- {tmp_path / 'a'}:5: layer 'r' (ReLU)", f"+ {tmp_path / 'b'}:5: layer 'relu' (ReLU)"]


def test_a_field_of_one_side_is_not_set_on_the_other(diff):
    assert "    param[0].lr_mult: 1.0 → not set" in diff((" param { lr_mult: 1 }", ""))[1]


def weights(a, b, *flags):
    return main(["diff", *flags, str(FILES / "model" / a), str(FILES / "model" / b)])


def test_both_formats_of_weights_hold_the_same(capsys):
    assert weights("small.caffemodel", "small.caffemodel.h5") == 0
    assert "0 of 10 blobs differ" in capsys.readouterr().out


def test_shapes_of_old_files_are_the_same_without_leading_ones():
    assert weights("small_part.caffemodel", "small_part.caffemodel") == 0
    assert weights("small.caffemodel", "small_double.caffemodel", "--tolerance", "1e-6") == 0


def test_layers_missing_on_one_side_count_as_different(capsys):
    assert weights("small.caffemodel", "small_part.caffemodel") == DIFFERENT
    assert "only in a" in capsys.readouterr().out


def test_the_greatest_difference_is_printed_and_held_against_the_tolerance(tmp_path, capsys):
    import numpy as np

    from layerforge.io.weights import write_weights
    from layerforge.schema.weights import LayerWeights

    for name, value in (("a", 1.0), ("b", 1.5)):
        layer = LayerWeights("ip", "InnerProduct", [np.full((2, 3), value, np.float32)], [False])
        write_weights(str(tmp_path / name), [layer])
    files = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert main(["diff", *files]) == DIFFERENT
    assert "0.5" in capsys.readouterr().out
    assert main(["diff", "--tolerance", "0.6", *files]) == 0


def test_two_kinds_are_wrong_usage(capsys):
    assert main(["diff", str(FILES / "model" / "small.prototxt"), str(FILES / "mean.binaryproto")]) == 2
    assert "two nets or two weight files" in capsys.readouterr().err
