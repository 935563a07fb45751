"""The nets of the benchmark: the zoo's own texts at these batch sizes, and what is to be reached with each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from layerforge.graph.figures import macs
from layerforge.net.net import Net
from layerforge.netdef.filter import filter_net
from layerforge.netdef.types import Field, LayerDef, NetDef, NetState, Phase
from layerforge.zoo.catalogue import DEPLOY, TRAIN_VAL, model
from layerforge.zoo.check import SOURCES

TRAIN, TEST = "train", "test"
MODES = (TRAIN, TEST)


@dataclass(frozen=True)
class BenchNet:
    """A model of the zoo.

    train  the batch of the training step
    test   the batches of inference
    """

    title: str
    train: int
    test: tuple[int, ...]


NETS = {
    "lenet": BenchNet("LeNet", 64, (64,)),
    "cifar10_quick": BenchNet("cifar10_quick", 100, (100,)),
    "alexnet": BenchNet("AlexNet", 16, (16,)),
    "googlenet": BenchNet("GoogLeNet", 16, (16, 8)),
    "vgg16": BenchNet("VGG-16", 8, (8,)),
    "resnet50": BenchNet("ResNet-50", 8, (8, 1)),
    "mobilenet_v1": BenchNet("MobileNet v1", 16, (16,)),
    "survey_fcn_r": BenchNet("FCN-R", 1024, (1024,)),
    "survey_fcn_s": BenchNet("FCN-S", 64, (64,)),
}


class Case(NamedTuple):
    """One row of a table: a net, what it does, its batch."""

    net: str
    mode: str
    batch: int

    def __str__(self) -> str:
        return f"{NETS[self.net].title}, {self.batch}"

    @property
    def phase(self) -> Phase:
        return Phase.TRAIN if self.mode == TRAIN else Phase.TEST


def cases(mode: str, nets: tuple[str, ...] = tuple(NETS)) -> list[Case]:
    """The rows of a mode, in order."""
    return [Case(net, mode, batch) for net in nets
            for batch in ((NETS[net].train,) if mode == TRAIN else NETS[net].test)]


def definition(case: Case) -> NetDef:
    """The zoo's net in this mode: Inputs of this batch in place of what feeds it."""
    made = model(case.net)
    whole = made.definition(TRAIN_VAL if case.mode == TRAIN else DEPLOY)
    kept = filter_net(whole, NetState(case.phase))
    feeds = made.facts["feeds"]
    return replace(kept, layers=tuple(_fed(layer, feeds, case.batch) for layer in kept.layers))


def _fed(layer: LayerDef, feeds: Mapping[str, Mapping], batch: int) -> LayerDef:
    """The layer, or an Input where it is a source."""
    if layer.type not in (*SOURCES, "Input"):
        return layer
    shapes = tuple(Field({"dim": Field(tuple(map(Field, (batch, *feeds[top]["shape"][1:]))))}) for top in layer.tops)
    return LayerDef(layer.name, "Input", tops=layer.tops, params={"input_param": Field({"shape": Field(shapes)})})


def inputs(case: Case) -> dict[str, np.ndarray]:
    """Seeded values for data and, in training, label."""
    rng, feeds = np.random.default_rng(0), model(case.net).facts["feeds"]
    values = {"data": rng.standard_normal((case.batch, *feeds["data"]["shape"][1:])).astype(np.float32)}
    if case.mode == TRAIN:
        values["label"] = rng.integers(0, feeds["label"]["below"], case.batch).astype(np.float32)
    return values


def arithmetic(net: Net) -> float:
    """Multiplications and additions of a step: forward and what backward has to find.

    2 MACs forward, as much again for the gradient of the weights and, where one is passed down, of the bottom.
    """
    total = 0
    gradients = net.gradients
    for i, (node, layer) in enumerate(zip(net.graph.nodes, net.layers)):
        bottoms, tops = ([net.blob_list[i].shape for i in numbers] for numbers in (node.bottoms, node.tops))
        times = 1 + any(gradients.parameters[i]) + any(gradients.bottoms[i]) if gradients.layers[i] else 1
        total += 2 * macs(layer, bottoms, tops) * times
    return float(total)


EAGER, BEST, MEMORY = "eager ÷", "best ÷", "MiB ÷"
ONNX, OPENVINO = "ONNX Runtime ÷", "OpenVINO ÷"
AIMS: dict[Case, dict[str, float]] = {
    Case("lenet", TRAIN, 64): {EAGER: 1.8, BEST: 1.2},
    Case("cifar10_quick", TRAIN, 100): {EAGER: 1.8, BEST: 1.2},
    Case("alexnet", TRAIN, 16): {EAGER: 1.6, BEST: 1.4, MEMORY: 0.7},
    Case("googlenet", TRAIN, 16): {EAGER: 1.6, BEST: 1.4, MEMORY: 0.7},
    Case("vgg16", TRAIN, 8): {EAGER: 1.5, BEST: 1.15, MEMORY: 0.8, "BF16 ÷": 1.5},
    Case("resnet50", TRAIN, 8): {EAGER: 1.5, BEST: 1.15, MEMORY: 0.7, "BF16 ÷": 1.5, "set-up s": 2.0},
    Case("mobilenet_v1", TRAIN, 16): {EAGER: 1.3, BEST: 1.1, MEMORY: 0.7},
    Case("survey_fcn_r", TRAIN, 1024): {EAGER: 1.1, BEST: 1.05},
    Case("survey_fcn_s", TRAIN, 64): {EAGER: 1.1, BEST: 1.05},
    Case("lenet", TEST, 64): {EAGER: 2.0, BEST: 1.2},
    Case("cifar10_quick", TEST, 100): {EAGER: 2.0, BEST: 1.2},
    Case("alexnet", TEST, 16): {EAGER: 2.0, BEST: 1.5},
    Case("googlenet", TEST, 16): {EAGER: 2.0, BEST: 1.5},
    Case("googlenet", TEST, 8): {ONNX: 1.6, OPENVINO: 1.6},
    Case("vgg16", TEST, 8): {EAGER: 1.5, BEST: 1.15, ONNX: 1.0, OPENVINO: 1.0},
    Case("resnet50", TEST, 8): {EAGER: 1.5, BEST: 1.15, ONNX: 1.05, OPENVINO: 1.05},
    Case("resnet50", TEST, 1): {ONNX: 1.3, OPENVINO: 1.3},
    Case("mobilenet_v1", TEST, 16): {EAGER: 1.5, BEST: 1.2},
    Case("survey_fcn_r", TEST, 1024): {EAGER: 1.05, BEST: 1.0},
    Case("survey_fcn_s", TEST, 64): {EAGER: 1.05, BEST: 1.0},
}
"""What the project wants to reach: at least this, of memory and set-up at most. The bench says which are missed."""
