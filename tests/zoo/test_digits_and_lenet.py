"""LeNet and the digits, which have data: their texts agree, and the digits reach what their page says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from layerforge.cli.main import main
from layerforge.net.build import build_net
from layerforge.netdef.types import NetDef, Phase
from layerforge.schema.read import read_net, read_solver
from layerforge.solver.params import SolverParams

ZOO = Path(__file__).resolve().parents[2] / "zoo"
MODELS = ("digits", "lenet")


def deploy(model: str) -> NetDef:
    return read_net(ZOO / model / "deploy.prototxt")


def plain(value: Any) -> Any:
    """Set fields without the places they stand at."""
    if isinstance(value, Mapping):
        return {name: plain(field.value) for name, field in value.items()}
    return [plain(field.value) for field in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize("model", MODELS)
def test_deploy_and_training_have_the_same_learned_layers(model):
    applied, trained = ({layer.name: plain(layer.params) for layer in text.layers if layer.param}
                        for text in (deploy(model), read_net(ZOO / model / "train_val.prototxt")))
    assert applied == trained and len(applied) >= 4


@pytest.mark.parametrize("model", MODELS)
def test_deploy_gives_probabilities(model):
    net = build_net(deploy(model))
    net.forward()
    assert net.outputs == ["prob"]
    sums = net.blobs["prob"].data.array().reshape(net.blobs["prob"].shape).sum(1)
    assert sums == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_solver_is_valid_and_tests_the_whole_test_set(model):
    params = SolverParams.from_definition(read_solver(ZOO / model / "solver.prototxt"))
    assert params.net == "train_val.prototxt" and params.solver_mode == "CPU"
    batches = re.findall(r"batch_size: (\d+)", (ZOO / model / "train_val.prototxt").read_text())
    assert params.test_iter[0] * int(batches[1]) == {"digits": 359, "lenet": 10000}[model]


def test_lenet_has_the_layers_and_the_schedule_of_caffe():
    text = read_net(ZOO / "lenet" / "train_val.prototxt")
    names = [layer.name for layer in text.layers]
    assert names == ["mnist", "mnist", "conv1", "pool1", "conv2", "pool2", "ip1", "relu1", "ip2", "accuracy", "loss"]
    params = SolverParams.from_definition(read_solver(ZOO / "lenet" / "solver.prototxt"))
    schedule = (params.base_lr, params.momentum, params.weight_decay, params.lr_policy, params.gamma, params.power)
    assert schedule == (0.01, 0.9, 0.0005, "inv", 0.0001, 0.75)
    assert (params.max_iter, params.snapshot) == (10000, 5000)


@pytest.mark.slow
def test_digits_reach_98_percent_on_pictures_never_trained_on(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path)]) == 0
    accuracy = float(re.search(r"test accuracy: ([\d.]+)%", capsys.readouterr().out)[1])
    assert accuracy >= 98.0


def test_digits_train_on_no_test_picture(tmp_path):
    assert main(["dataset", "digits", "--out", str(tmp_path)]) == 0
    pictures = {}
    for part, phase in (("train", Phase.TRAIN), ("test", Phase.TEST)):
        text = (ZOO / "digits" / "train_val.prototxt").read_text().replace('"digits_', f'"{tmp_path}/digits_')
        (tmp_path / "net.prototxt").write_text(text)
        net = build_net(read_net(tmp_path / "net.prototxt"), phase)
        count = {"train": 1438, "test": 359}[part]
        rows = set()
        for _ in range(-(-count // net.blobs["data"].shape[0])):
            net.forward()
            rows |= {row.tobytes() for row in net.blobs["data"].data.array().reshape(net.blobs["data"].shape[0], -1)}
        net.close()
        pictures[part] = rows
    assert len(pictures["train"]) > 1400 and not pictures["train"] & pictures["test"]
