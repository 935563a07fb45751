"""Every model of the zoo: its texts are what its program writes, and its figures what its README says."""

from __future__ import annotations

import pytest

from layerforge.schema.read import read_solver
from layerforge.solver.params import SolverParams
from layerforge.zoo.catalogue import DEPLOY, ROOT, TRAIN_VAL, models
from layerforge.zoo.check import built, check_figures, net_totals
from layerforge.zoo.recipe import texts

MODELS = list(models())
KEYS = {"name", "group", "year", "summary", "paper", "license", "weights", "input", "parameters", "macs", "accuracy",
        "feeds", "outputs"}

# Published figures, independent of what the READMEs say: parameters without BatchNorm's statistics, MACs rounded.
PUBLISHED = {
    "alexnet": (60_965_224, "724.4 M"), "caffenet": (60_965_224, "724.4 M"), "googlenet": (6_998_552, "1,582.7 M"),
    "vgg16": (138_357_544, "15.470 G"), "vgg19": (143_667_240, "19.632 G"), "resnet50": (25_557_032, "3.858 G"),
    "mobilenet_v1": (4_231_976, "568.7 M"), "lenet": (431_080, "2.29 M"), "cifar10_quick": (145_578, "12.35 M"),
    "cifar10_full": (89_578, "12.30 M"), "resnet18": (11_693_736, "1.827 G"), "resnet101": (44_549_160, "7.570 G"),
    "resnet152": (60_192_808, "11.282 G"), "squeezenet1_0": (1_248_424, "861.3 M"),
    "squeezenet1_1": (1_235_496, "387.7 M"), "densenet121": (7_978_856, "2.834 G"),
    "se_resnet50": (28_088_024, "3.860 G"), "resnext50": (25_028_904, "4.230 G"),
    "mobilenet_v2": (3_505_960, "429.1 M"),
}


@pytest.mark.parametrize("name", MODELS)
def test_texts_are_what_the_program_writes(name):
    model = models()[name]
    for file, text in texts(model.folder).items():
        committed = (model.folder / file).read_text(encoding="utf-8")
        assert committed == text, f"{file}: run `python -m layerforge.zoo {name}`"


@pytest.mark.parametrize("name", MODELS)
def test_nothing_but_the_program_writes_prototxts(name):
    model = models()[name]
    assert {path.name for path in model.folder.glob("*.prototxt")} == set(texts(model.folder))


@pytest.mark.parametrize("name", MODELS)
def test_figures_are_what_the_readme_says(name):
    assert list(check_figures(models()[name])) == []


@pytest.mark.parametrize("name", MODELS)
def test_readme_has_every_fact(name):
    assert set(models()[name].facts) >= KEYS


@pytest.mark.parametrize("name", MODELS)
def test_solvers_can_be_read(name):
    for path in models()[name].solvers:
        solver = SolverParams.from_definition(read_solver(path))
        assert solver.max_iter > 0 and solver.base_lr > 0


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_with_weights_that_is_applied_is_trained(name):
    model = models()[name]
    if set(model.nets) != {DEPLOY, TRAIN_VAL}:
        return
    applied, trained = ({layer: [blob.shape for blob in blobs] for layer, blobs in built(model, file).params.items()}
                        for file in (DEPLOY, TRAIN_VAL))
    assert applied.items() <= trained.items()


@pytest.mark.parametrize("name", PUBLISHED)
def test_figures_are_the_published_ones(name):
    model = models()[name]
    have, (parameters, macs) = net_totals(built(model, DEPLOY)), PUBLISHED[name]
    number, unit = macs.replace(",", "").split()
    digits = len(number.partition(".")[2])
    assert have.parameters == parameters and round(have.macs / {"M": 1e6, "G": 1e9}[unit], digits) == float(number)


def test_googlenet_has_auxiliary_heads_in_training_only():
    train, deploy = (net_totals(built(models()["googlenet"], file)).parameters for file in (TRAIN_VAL, DEPLOY))
    assert (train, deploy) == (13_378_280, 6_998_552)


def test_every_folder_with_texts_is_a_model():
    assert {path.parent.name for path in ROOT.glob("*/*.prototxt")} == set(models())
