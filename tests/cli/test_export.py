"""`layerforge export` writes nets as ONNX and weights in any format."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from layerforge.cli.main import main
from layerforge.io.weights import read_weights, save_weights
from layerforge.net.build import build_net
from layerforge.schema.read import parse_net

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 2
        weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """net.prototxt and net.caffemodel, in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    save_weights(build_net(parse_net(NET)), tmp_path / "net.caffemodel")
    return tmp_path


def test_onnx_is_written_and_described(files, capsys):
    assert main(["export", "net.prototxt", "--weights", "net.caffemodel", "--to", "net.onnx", "--dynamic-batch"]) == 0
    out = capsys.readouterr().out
    assert all(words in out for words in ("2 nodes, opset 17", "input   x  N×3", "output  prob  N×2"))
    found = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load("net.onnx").graph.initializer}
    np.testing.assert_array_equal(found["ip.0"], read_weights("net.caffemodel")[1].blobs[0])


def test_outputs_and_opset_are_flags(files, capsys):
    files = ["net.prototxt", "--weights", "net.caffemodel", "--to", "n.onnx"]
    assert main(["export", *files, "--outputs", "ip", "--opset", "14"]) == 0
    model = onnx.load("n.onnx")
    assert ([output.name for output in model.graph.output], model.opset_import[0].version) == (["ip"], 14)


def test_random_parameters_are_told(files, capsys):
    assert main(["export", "net.prototxt", "--to", "net.onnx"]) == 0
    assert "parameters are random" in capsys.readouterr().err


@pytest.mark.parametrize("ending", [".safetensors", ".caffemodel.h5", ".caffemodel"])
@pytest.mark.parametrize("net", [["net.prototxt"], []])
def test_weights_go_into_any_format(ending, net, files, capsys):
    assert main(["export", *net, "--weights", "net.caffemodel", "--to", f"out{ending}"]) == 0
    was, now = ({x.name: x for x in read_weights(name)} for name in ("net.caffemodel", f"out{ending}"))
    np.testing.assert_array_equal(now["ip"].blobs[0], was["ip"].blobs[0])


@pytest.mark.parametrize(("line", "words"), [
    (["net.prototxt"], "--to is missing"), (["--to", "net.onnx"], "needs a net"),
    (["net.prototxt", "--to", "net.tflite"], "of a kind that is not written"),
    (["--to", "a.safetensors"], "--weights is missing"),
    (["--weights", "net.caffemodel,b", "--to", "a.safetensors"], "several weights need a net")])
def test_wrong_usage(line, words, files, capsys):
    assert main(["export", *line]) == 2
    assert words in capsys.readouterr().err


def test_a_missing_file_is_an_error(files, capsys):
    assert main(["export", "--weights", "nowhere.caffemodel", "--to", "a.safetensors"]) == 1
    assert "nowhere.caffemodel cannot be read" in capsys.readouterr().err
    assert not (files / "a.safetensors").exists()


def test_what_was_exported_can_be_inspected(files, capsys):
    assert main(["export", "net.prototxt", "--weights", "net.caffemodel", "--to", "net.onnx", "--dynamic-batch"]) == 0
    assert main(["export", "--weights", "net.caffemodel", "--to", "net.safetensors"]) == 0
    capsys.readouterr()
    assert main(["inspect", "net.onnx"]) == 0
    out = capsys.readouterr().out
    assert all(words in out for words in ("an ONNX model", "x N×3", "prob N×2", "8 numbers in 2 arrays", "Gemm"))
    assert main(["inspect", "net.safetensors"]) == 0
    assert "2×3" in capsys.readouterr().out
    assert main(["diff", "net.safetensors", "net.caffemodel"]) == 0


def test_a_cut_off_onnx_file_is_an_error(files, capsys):
    assert main(["export", "net.prototxt", "--weights", "net.caffemodel", "--to", "net.onnx"]) == 0
    data = (files / "net.onnx").read_bytes()
    for size in (3, len(data) // 2, len(data) - 1):
        (files / "cut.onnx").write_bytes(data[:size])
        assert main(["inspect", "cut.onnx"]) == 1
