"""Everything trains: each family at reduced width, on one seeded batch, loses loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from layerforge.core.storage import HOST
from layerforge.netdef.filter import filter_net
from layerforge.netdef.types import Field, LayerDef, NetDef, NetState, Phase
from layerforge.schema.read import read_solver
from layerforge.schema.write import net_text
from layerforge.solver.loop import Solver
from layerforge.zoo.catalogue import TRAIN_VAL, models
from layerforge.zoo.check import fed

CLASSES = 10  # in place of 1,000
MESSAGES = {"Convolution": "convolution_param", "InnerProduct": "inner_product_param", "LSTM": "recurrent_param",
            "Embed": "embed_param", "OneHot": "one_hot_param"}

# Model: by how much its widths are divided, the sizes that are not theirs (None: the front matter's), and the rate.
CASES: dict[str, tuple[int, Mapping[str, list[int]], float]] = {
    "lenet": (1, {}, 0.002), "linear": (1, {}, 0.01), "mlp": (4, {}, 0.002), "cifar10_quick": (1, {}, 0.002),
    "cifar10_full": (1, {}, 0.002), "resnet20": (2, {}, 0.01), "alexnet": (16, {}, 0.002), "caffenet": (16, {}, 0.002),
    "zfnet": (16, {}, 0.002), "nin": (8, {}, 0.002), "vgg11": (16, {}, 0.002), "googlenet": (8, {}, 0.002),
    "inception_bn": (16, {}, 0.01), "inception_v3": (16, {}, 0.01), "inception_v4": (16, {}, 0.01),
    "resnet18": (16, {}, 0.01), "resnet50": (16, {}, 0.01), "resnext50": (16, {}, 0.01), "se_resnet50": (16, {}, 0.01),
    "densenet121": (16, {}, 0.01), "squeezenet1_1": (4, {}, 0.005), "mobilenet_v1": (16, {}, 0.01),
    "mobilenet_v2": (8, {}, 0.01), "shufflenet_v1": (2, {}, 0.01), "efficientnet_b0": (8, {}, 0.01),
    "fcn32s": (16, {"data": [1, 3, 64, 64], "label": [1, 1, 64, 64]}, 0.05),
    "fcn8s": (16, {"data": [1, 3, 64, 64], "label": [1, 1, 64, 64]}, 0.05),
    "siamese": (4, {}, 0.002), "mnist_autoencoder": (10, {}, 0.01), "logistic_regression": (1, {}, 0.05),
    "char_lstm": (8, {}, 0.05), "sentiment": (4, {}, 0.05), "survey_fcn_r": (32, {}, 0.005),
    "survey_fcn_s": (8, {"data": [4, 64]}, 0.005), "survey_alexnet_s": (16, {}, 0.002),
    "survey_alexnet_r": (2, {}, 0.002), "survey_lstm": (32, {}, 0.2),
}
SOLVER = """
net: "{net}" type: "Adam" base_lr: {rate} momentum: 0.9 momentum2: 0.999 lr_policy: "fixed" max_iter: 100
snapshot_after_train: false random_seed: 1
"""


def narrowed(layer: LayerDef, factor: int, outputs: int, many: bool) -> LayerDef:
    """The layer with a part of its channels and groups.

    outputs  how many the net gives in the end: these stay, or with `many` become CLASSES, as the words of a text do
    """
    name = MESSAGES.get(layer.type)
    if name not in layer.params:
        return layer
    fields = dict(layer.params[name].value)
    for key, field in fields.items():
        if key == "num_output" and field.value == outputs or key in ("input_dim", "depth"):
            fields[key] = Field(CLASSES) if many else field
        elif key == "num_output" or key == "group" and field.value > 3:
            fields[key] = Field(-(-field.value // factor))
    return replace(layer, params={**layer.params, name: Field(fields)})


def reduced(name: str, factor: int, sizes: Mapping[str, list[int]]) -> tuple[NetDef, dict[str, Any]]:
    """A narrow training net that reads four items, and what it is fed."""
    model = models()[name]
    feeds = {key: dict(spec) for key, spec in model.facts["feeds"].items()}
    shape = next(iter(model.facts["outputs"].values()))
    outputs, many = shape[2 if len(shape) == 3 else 1], feeds.get("label", {}).get("below", 0) > 100
    for key, spec in feeds.items():
        batch_axis = 1 if "cont" in feeds else 0  # (T, N) or (N, ...)
        spec["shape"] = sizes.get(key) or [4 if i == batch_axis else n for i, n in enumerate(spec["shape"])]
        if many and spec.get("below", 0) > 100:
            spec["below"] = CLASSES
    state = NetState(Phase.TRAIN)
    net = filter_net(fed(model.definition(TRAIN_VAL), state, feeds), state)
    plain = (replace(layer, phase=None, include=(), exclude=()) for layer in net.layers)
    layers = tuple(narrowed(layer, factor, outputs, many) for layer in plain)
    return replace(net, layers=layers, state=NetState()), feeds


@pytest.mark.parametrize("name", CASES)
def test_the_loss_goes_down(name, tmp_path):
    factor, sizes, rate = CASES[name]
    net, feeds = reduced(name, factor, sizes)
    (tmp_path / "net.prototxt").write_text(net_text(net))
    (tmp_path / "solver.prototxt").write_text(SOLVER.format(net=tmp_path / "net.prototxt", rate=rate))
    solver = Solver(read_solver(tmp_path / "solver.prototxt"))
    rng = np.random.default_rng(1)
    for key in solver.net.inputs:
        blob, below = solver.net.blobs[key], feeds[key].get("below")
        below = 1 if len(blob.shape) == 4 and below else below  # a picture of one class: noise cannot be learned
        blob.data.set(rng.integers(0, below, blob.shape) if below else rng.random(blob.shape))
    losses = []
    for _ in range(12):
        solver.step(1)
        losses.append(sum(weight * float(solver.net.blobs[key].data.array(HOST).sum())
                          for key, weight in solver.net.loss_weights.items() if weight))
    assert all(map(math.isfinite, losses)) and min(losses[-3:]) < 0.9 * losses[0], losses


def test_every_model_trains_here_or_has_a_sister_that_does():
    """What differs from a case in depth or width alone need not train again; the GAN trains in test_programs.py."""
    sisters = {"digits": "lenet", "resnet32": "resnet20", "resnet56": "resnet20", "vgg13": "vgg11", "vgg16": "vgg11",
               "vgg19": "vgg11", "resnet34": "resnet18", "resnet101": "resnet50", "resnet152": "resnet50",
               "densenet169": "densenet121", "densenet201": "densenet121", "squeezenet1_0": "squeezenet1_1",
               "fcn16s": "fcn8s"}
    assert set(sisters.values()) <= set(CASES) and set(models()) - set(CASES) - set(sisters) == {"gan"}
