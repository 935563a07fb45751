"""Everything trains: each family at reduced width, on one seeded batch, loses loss."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from narrow_nets import reduced

from layerforge.core.storage import HOST
from layerforge.schema.read import read_solver
from layerforge.schema.write import net_text
from layerforge.solver.loop import Solver
from layerforge.zoo.catalogue import models

# Model: by how much its widths are divided, the sizes that are not theirs (None: the front matter's), and the rate.
CASES: dict[str, tuple[int, Mapping[str, list[int]], float]] = {
    "lenet": (1, {}, 0.002), "lenet_digits": (1, {}, 0.002), "linear": (1, {}, 0.01), "mlp": (4, {}, 0.002),
    "cifar10_quick": (1, {}, 0.002),
    "cifar10_full": (1, {}, 0.002), "resnet20": (2, {}, 0.01), "alexnet": (16, {}, 0.002), "caffenet": (16, {}, 0.002),
    "zfnet": (16, {}, 0.002), "nin": (8, {}, 0.01), "vgg11": (16, {}, 0.005), "googlenet": (8, {}, 0.002),
    "inception_bn": (16, {}, 0.01), "inception_v3": (16, {}, 0.01), "inception_v4": (16, {}, 0.01),
    "resnet18": (16, {}, 0.01), "resnet50": (16, {}, 0.01), "resnext50": (16, {}, 0.01), "se_resnet50": (16, {}, 0.01),
    "densenet121": (16, {}, 0.01), "squeezenet1_1": (4, {}, 0.005), "mobilenet_v1": (16, {}, 0.01),
    "mobilenet_v2": (8, {}, 0.01), "shufflenet_v1": (2, {}, 0.01), "efficientnet_b0": (8, {}, 0.01),
    "fcn32s": (16, {"data": [1, 3, 64, 64], "label": [1, 1, 64, 64]}, 0.05),
    "fcn8s": (16, {"data": [1, 3, 64, 64], "label": [1, 1, 64, 64]}, 0.05),
    "siamese": (4, {}, 0.002), "mnist_autoencoder": (10, {}, 0.02), "logistic_regression": (1, {}, 0.05),
    "char_lstm": (8, {}, 0.05), "sentiment": (4, {}, 0.05), "survey_fcn_r": (32, {}, 0.005),
    "survey_fcn_s": (8, {"data": [4, 64]}, 0.005), "survey_alexnet_s": (16, {}, 0.002),
    "survey_alexnet_r": (2, {}, 0.002), "survey_lstm": (32, {}, 0.2),
}
SOLVER = """
net: "{net}" type: "Adam" base_lr: {rate} momentum: 0.9 momentum2: 0.999 lr_policy: "fixed" max_iter: 100
snapshot_after_train: false random_seed: 1
"""


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
