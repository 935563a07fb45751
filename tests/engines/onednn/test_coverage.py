"""What runs on the engine: the zoo's nets, the golden cases; and LeNet trains as without it."""

import dataclasses

import numpy as np
import pytest
from bench.nets import MODES, NETS, TRAIN, cases
from bench.nets import definition as measured
from engines_compare import agree
from golden_cases import GOLDEN
from golden_cases import load as load_case
from lenet import lenet
from threadpoolctl import threadpool_limits

from layerforge.core.errors import DeviceError, LayerForgeError
from layerforge.core.storage import HOST
from layerforge.core.threads import limited
from layerforge.net.build import build_net
from layerforge.netdef.types import NetState, Phase
from layerforge.schema.read import parse_net, parse_solver
from layerforge.solver.loop import Solver
from layerforge.zoo.catalogue import models
from layerforge.zoo.check import fed

try:
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)

ZOO = [*NETS, "mobilenet_v2"]
MEASURED = [case for mode in MODES for case in cases(mode)]
OWN = {"Input", "SoftmaxWithLoss", "Accuracy"}
"""Data, loss and accuracy: they move little. All else runs on the engine; steps without kernels, such as Split in a
net that only runs forward, are views of memory that is there."""


def left(net):
    """What the engine does not run, with its reason."""
    first = [(net.layers[choice.step.layers[0]], choice) for choice in net.plan.choices]
    return [(layer.name, choice.refusals) for layer, choice in first
            if choice.step.engine != "ONEDNN" and layer.type not in OWN]


@pytest.mark.parametrize("case", MEASURED, ids=lambda case: f"{case.net}-{case.mode}-{case.batch}")
def test_no_layer_of_a_measured_net_falls_back(case):
    assert not left(build_net(measured(case), case.phase, keep="outputs", backward=case.mode == TRAIN))


@pytest.mark.parametrize("keep", ["all", "outputs"])
@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("file", ["train_val.prototxt", "deploy.prototxt"])
@pytest.mark.parametrize("name", ZOO)
def test_no_layer_of_a_zoo_net_falls_back(name, file, phase, keep):
    model = models()[name]
    definition = fed(model.definition(file), NetState(phase), model.facts["feeds"])
    backward = {"force_backward": True} if phase is Phase.TRAIN else {}
    assert not left(build_net(dataclasses.replace(definition, **backward), phase, keep=keep))


CASES_ON_THE_ENGINE = 135


def test_golden_cases_run_through_the_engine():
    count = 0
    for path in sorted((GOLDEN / "layers").glob("*.npz")):
        case = load_case(path)
        try:
            definition = parse_net(str(case["prototxt"]), path.stem)
            net = build_net(definition, Phase[str(case["phase"])])
        except (LayerForgeError, KeyError):
            continue  # cases that need files
        count += any(step.engine == "ONEDNN" for step in net.steps)
        net.close()
    print(f"{count} golden cases run through the engine")
    assert count >= CASES_ON_THE_ENGINE


def test_lenet_has_the_same_loss_curve_with_and_without_the_engine():
    net = lenet(4, 'type: "uniform" min: 0 max: 9.99')
    text = (
        f'base_lr: 0.01 lr_policy: "inv" gamma: 0.0001 power: 0.75 momentum: 0.9 weight_decay: 0.0005 '
        f"max_iter: 200 random_seed: 3 net_param {{ {net} }}"
    )
    curves = []
    for more in ({}, {"engines": ()}):
        solver = Solver(parse_solver(text), weights=(), **more)
        losses = []
        with threadpool_limits(1), limited(1):  # so little work waits longer for threads than it takes
            for _ in range(200):
                solver.step(1)
                losses.append(float(solver.net.blobs["loss"].data.array(HOST)[0]))
        curves.append(np.array(losses))
    agree("loss", *curves, rtol=2e-3, atol=1e-3)
