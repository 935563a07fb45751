"""Weights in safetensors: there and back, other programs' names, and files that are none."""

from __future__ import annotations

import contextlib
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from layerforge.core.errors import DataError, DeviceError, NetError
from layerforge.core.storage import HOST
from layerforge.io.safetensors_weights import read_safetensors
from layerforge.io.weights import LayerWeights, load_weights, read_weights, save_weights, write_weights
from layerforge.net.build import build_net
from layerforge.schema.read import parse_net, read_net

MODEL = Path(__file__).parents[1] / "golden" / "files" / "model"
NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "a/ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }
"""
BATCH_NORM = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" %s }
"""


def values(blob):
    return blob.data.array(HOST).reshape(blob.shape)


def raw(path, dtype, data, shape=(2,)):
    """A file of one array "ip.0" whose bytes are given."""
    header = json.dumps({"ip.0": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return str(path)


def test_saved_weights_come_back(tmp_path):
    net = build_net(read_net(MODEL / "small.prototxt"))
    load_weights(net, MODEL / "small.caffemodel")
    save_weights(net, tmp_path / "w.safetensors")
    again = build_net(read_net(MODEL / "small.prototxt"))
    report = load_weights(again, tmp_path / "w.safetensors")
    assert sorted(report.taken) == sorted(net.params)
    for name, blobs in net.params.items():
        for mine, theirs in zip(blobs, again.params[name]):
            np.testing.assert_array_equal(values(mine), values(theirs))


def test_names_are_layer_and_number(tmp_path):
    net = build_net(parse_net(NET))
    save_weights(net, tmp_path / "w.safetensors")
    assert {key: array.shape for key, array in load_file(tmp_path / "w.safetensors").items()} == {
        "a/ip.0": (2, 3), "a/ip.1": (2,)}


def test_the_first_bytes_tell_the_format_not_the_name(tmp_path):
    save_weights(build_net(parse_net(NET)), tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").rename(tmp_path / "w.caffemodel")
    assert [layer.name for layer in read_weights(tmp_path / "w.caffemodel")] == ["a/ip"]


def test_weight_and_bias_are_the_blobs_0_and_1(tmp_path):
    weight, bias = np.arange(6, dtype=np.float32).reshape(2, 3), np.float32([7, 8])
    save_file({"a/ip.bias": bias, "a/ip.weight": weight}, tmp_path / "w.safetensors")
    net = build_net(parse_net(NET))
    load_weights(net, tmp_path / "w.safetensors")
    assert [values(blob).tolist() for blob in net.params["a/ip"]] == [weight.tolist(), bias.tolist()]


@pytest.mark.parametrize(("extra", "names"), [
    ("", ("running_mean", "running_var")),
    ("batch_norm_param { scale_bias: true }", ("running_mean", "running_var", "weight", "bias"))])
def test_a_batch_norm_of_another_program_is_understood(extra, names, tmp_path):
    arrays = {f"bn.{name}": np.full(3, i + 5, np.float32) for i, name in enumerate(names)}
    save_file({**arrays, "bn.num_batches_tracked": np.array(9)}, tmp_path / "w.safetensors")
    net = build_net(parse_net(BATCH_NORM % extra))
    load_weights(net, tmp_path / "w.safetensors")
    assert [float(values(blob)[0]) for blob in net.params["bn"]] == [5, 6, 1, 7, 8][: len(net.params["bn"])]


@pytest.mark.parametrize(("dtype", "data"), [
    ("BF16", b"\x80\x3f\x00\xc0"), ("F16", b"\x00\x3c\x00\xc0"), ("F64", struct.pack("<2d", 1, -2)),
    ("I8", b"\x01\xfe")])
def test_other_number_types_are_read(dtype, data, tmp_path):
    [layer] = read_safetensors(raw(tmp_path / "w.safetensors", dtype, data))
    assert layer.blobs[0].tolist() == [1, -2]


def test_double_precision_stays(tmp_path):
    write_weights(tmp_path / "w.safetensors", [LayerWeights("ip", "", [np.array([1 / 3])])])
    assert read_weights(tmp_path / "w.safetensors")[0].blobs[0].tolist() == [1 / 3]


def test_a_blob_without_axes_stays_one(tmp_path):
    write_weights(tmp_path / "w.safetensors", [LayerWeights("prelu", "", [np.array(0.25, np.float32)])])
    assert read_weights(tmp_path / "w.safetensors")[0].blobs[0].shape == ()


def test_weights_that_do_not_fit_name_both_shapes(tmp_path):
    save_file({"a/ip.0": np.zeros((2, 4), np.float32), "a/ip.1": np.zeros(2, np.float32)}, tmp_path / "w.safetensors")
    with pytest.raises(NetError, match=r"blob 0 is \(2, 4\) in w.safetensors, the net needs \(2, 3\)"):
        load_weights(build_net(parse_net(NET)), tmp_path / "w.safetensors")


@pytest.mark.parametrize(("data", "message"), [
    (b"", "no whole"), (b"abc", "no whole"), (struct.pack("<Q", 5) + b"{abc}", "no whole"),
    (struct.pack("<Q", 10**12) + b"{}", "no whole"), (struct.pack("<Q", 2) + b"{}", "holds no arrays")])
def test_a_broken_file_is_an_error(data, message, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_weights(tmp_path / "w.safetensors")


def test_a_file_that_is_cut_off_is_an_error(tmp_path):
    save_weights(build_net(parse_net(NET)), tmp_path / "w.safetensors")
    data = (tmp_path / "w.safetensors").read_bytes()
    for length in range(0, len(data), 7):
        (tmp_path / "w.safetensors").write_bytes(data[:length])
        with pytest.raises(DataError):
            read_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize(("names", "message"), [
    (("embedding",), "'embedding' is of no layer's blob"), (("ip.gamma",), "'ip.gamma' is of no layer's blob"),
    (("ip.0", "ip.weight"), "blob 0 twice"), (("ip.99999999999",), "no layer's blob")])
def test_foreign_names_are_an_error(names, message, tmp_path):
    save_file({name: np.zeros(1, np.float32) for name in names}, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=message):
        read_weights(tmp_path / "w.safetensors")


def test_a_number_type_without_meaning_here_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"ip\.0 holds BOOL"):
        read_safetensors(raw(tmp_path / "w.safetensors", "BOOL", b"\0\1"))


def test_two_layers_of_one_name_cannot_be_written(tmp_path):
    layers = [LayerWeights("ip", "", [np.zeros(1)])] * 2
    with pytest.raises(DataError, match="two layers 'ip'"):
        write_weights(tmp_path / "w.safetensors", layers)
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    (tmp_path / "w.safetensors").write_bytes(b"x")
    with pytest.raises(DeviceError, match=r"layerforge\[safetensors\]"):
        read_weights(tmp_path / "w.safetensors")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 2**70))
def test_any_bytes_are_weights_or_refused(tmp_path_factory, data, length):
    path = tmp_path_factory.mktemp("any") / "w.safetensors"
    path.write_bytes(struct.pack("<Q", length % 2 ** (length % 64 + 1)) + data)
    with contextlib.suppress(DataError):
        assert read_weights(path)
