"""The nets of the benchmark: the zoo's, and the same in PyTorch."""

from dataclasses import replace

import numpy as np
import pytest
from bench.nets import AIMS, MODES, NETS, TEST, TRAIN, Case, arithmetic, cases, definition, inputs

from layerforge.layers.sources import SourceLayer
from layerforge.net.build import build_net
from layerforge.zoo.catalogue import model

EVERY = [case for mode in MODES for case in cases(mode)]


def test_aims_speak_of_measured_rows():
    assert set(AIMS) == set(EVERY)


@pytest.mark.parametrize("case", EVERY, ids=lambda case: f"{case.net}-{case.mode}-{case.batch}")
def test_inputs_of_this_batch_stand_for_the_sources(case):
    net = build_net(definition(case), case.phase, engines=())
    assert not any(isinstance(layer, SourceLayer) for layer in net.layers)
    assert {name: net.blobs[name].shape for name in net.inputs} == {k: v.shape for k, v in inputs(case).items()}


@pytest.mark.parametrize("name", NETS)
def test_inference_counts_the_zoos_macs(name):
    case = cases(TEST, (name,))[0]
    net = build_net(definition(case), case.phase, engines=(), backward=False)
    assert arithmetic(net) == 2 * case.batch * model(name).facts["macs"]


def test_training_counts_each_gradient_that_is_computed():
    net = build_net(definition(Case("survey_fcn_s", TRAIN, 1)), Case("", TRAIN, 1).phase, engines=())
    first, others = 26752 * 1000, 2 * 1000 * 1000 + 1000 * 26752  # nothing passes down into the data
    assert arithmetic(net) == 2 * (2 * first + 3 * others)


@pytest.mark.parametrize("name", ["lenet", "cifar10_quick", "googlenet", "resnet50", "mobilenet_v1"])
def test_pytorch_computes_the_same_loss(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
    from bench.torch_nets import Translation

    case = Case(name, TRAIN, 2)
    made = definition(case)
    made = replace(made, layers=tuple(layer for layer in made.layers if layer.type != "Dropout"))
    net, other = build_net(made, case.phase), Translation(made, case.phase)
    other.take_weights(net)
    values = inputs(case)
    for key, array in values.items():
        net.blobs[key].data.set(array)
    theirs = other.model(torch.tensor(values["data"]), torch.tensor(values["label"]).long())
    np.testing.assert_allclose(net.forward(), theirs.item(), rtol=1e-4)


def test_pytorch_folds_its_normalisations_for_inference():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to fold")
    from bench.torch_nets import Translation

    case = Case("resnet50", TEST, 1)
    model = Translation(definition(case), case.phase).model
    used = {node.target for node in model.graph.nodes if node.op == "call_module"}
    assert not any(isinstance(model.get_submodule(name), torch.nn.BatchNorm2d) for name in used)
