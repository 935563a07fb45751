"""Fine-tuning from the command line: weights by layer name, layers that start afresh, layers that stay."""

from __future__ import annotations

import numpy as np
import pytest

from layerforge.cli.main import main
from layerforge.io.weights import read_weights
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

NET = """
name: "classes"
layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 8 dim: 1 dim: 6 dim: 6 } shape { dim: 8 } data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "conv1" type: "Convolution" bottom: "x" top: "c1" PARAM
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "relu1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "conv2" type: "Convolution" bottom: "c1" top: "c2" PARAM
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "HEAD" type: "InnerProduct" bottom: "c2" top: "y"
  inner_product_param { num_output: CLASSES weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "t" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.01
max_iter: ITERATIONS snapshot_prefix: "NAME" random_seed: 2
"""
FROZEN = "param { lr_mult: 0 } param { lr_mult: 0 }"


def train(*flags, name="new", head="ip", classes=5, frozen=False, iterations=3):
    """Trains with these texts; returns the weights by layer."""
    net = NET.replace("HEAD", head).replace("CLASSES", str(classes)).replace("PARAM", FROZEN if frozen else "")
    for path, text in (("net.prototxt", net),
                       ("solver.prototxt", SOLVER.replace("ITERATIONS", str(iterations)).replace("NAME", name))):
        with open(path, "w") as file:
            file.write(text)
    assert main(["train", "--solver", "solver.prototxt", *flags]) == 0
    return {layer.name: layer.blobs for layer in read_weights(f"{name}_iter_{iterations}.caffemodel") if layer.blobs}


@pytest.fixture
def old(tmp_path, monkeypatch, capsys):
    """The weights of a net of five classes, in old_iter_3.caffemodel."""
    monkeypatch.chdir(tmp_path)
    weights = train(name="old")
    capsys.readouterr()
    return weights


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b))


def test_a_renamed_layer_starts_afresh_and_the_log_says_so(old, capsys):
    train("--weights", "old_iter_3.caffemodel", head="ip_new", classes=2)
    log = capsys.readouterr().err
    assert "Finetuning from old_iter_3.caffemodel" in log and "  taken: conv1, conv2" in log
    assert "left in old_iter_3.caffemodel, since the net has no layer of that name: ip\n" in log
    assert "started afresh, since no file has a layer of that name: ip_new\n" in log


def test_frozen_layers_keep_their_weights_bit_for_bit(old, capsys):
    new = train("--weights", "old_iter_3.caffemodel", head="ip_new", classes=2, frozen=True)
    assert equal(new["conv1"], old["conv1"]) and equal(new["conv2"], old["conv2"])
    assert "not learned, since lr_mult is 0: conv1, conv2; backward ends at ip_new" in capsys.readouterr().err


def test_layers_that_learn_go_on_from_the_weights(old):
    again = train("--weights", "old_iter_3.caffemodel", iterations=1)
    moved = np.abs(again["conv1"][0] - old["conv1"][0]).max()
    assert 0 < moved < np.abs(old["conv1"][0]).max()


def test_later_files_win(old, capsys):
    second = train(name="second", head="ip_new", classes=2)
    both = train("--weights", "old_iter_3.caffemodel,second_iter_3.caffemodel", head="ip_new", classes=2, frozen=True)
    assert equal(both["conv1"], second["conv1"])
    assert "started afresh" not in capsys.readouterr().err


def test_freezing_skips_backward_below():
    text = NET.replace("HEAD", "ip").replace("CLASSES", "5").replace("PARAM", FROZEN)
    net = build_net(parse_net(text), Phase.TRAIN)
    ran = []
    net.hooks["before_backward"].append(lambda i: ran.append(net.layer_names[i]) if net.gradients.layers[i] else None)
    net.forward()
    net.backward()
    assert ran == ["loss", "ip"]
    assert net.gradients.bottoms[net.layer_names.index("ip")] == (False,)


def test_weights_that_do_not_fit_name_every_layer_at_once(old, capsys):
    with open("net.prototxt", "w") as file:
        text = NET.replace("num_output: 3", "num_output: 6").replace("PARAM", "")
        file.write(text.replace("HEAD", "ip").replace("CLASSES", "7"))
    assert main(["train", "--solver", "solver.prototxt", "--weights", "old_iter_3.caffemodel"]) == 1
    error = capsys.readouterr().err
    assert "net.prototxt:8: layer 'conv2' (Convolution)" in error and "layer 'ip' (InnerProduct)" in error
    assert "rename a layer to start it afresh" in error
