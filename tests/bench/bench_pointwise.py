"""Activations, dropout, normalisation, Scale, Bias, Eltwise."""

import numpy as np
import pytest

from layerforge.layers.activation import BNLL, ELU, Clip, ReLU, Sigmoid, Swish, TanH
from layerforge.layers.affine import Bias, Scale
from layerforge.layers.batch_norm import BatchNorm
from layerforge.layers.dropout import Dropout
from layerforge.layers.elementary import AbsVal, Exp, Log, Power
from layerforge.layers.eltwise import Eltwise
from layerforge.layers.mvn import MVN
from layerforge.layers.normalize import Normalize
from layerforge.layers.prelu import PReLU
from layerforge.netdef.types import Phase

RNG = np.random.default_rng(0)
SHAPES = [(8, 64, 56, 56), (8, 512, 7, 7)]
PICTURES = [RNG.normal(size=shape).astype(np.float32) for shape in SHAPES]
each_shape = pytest.mark.parametrize("x", PICTURES, ids=["56x56", "7x7"])

ACTIVATIONS = [
    (ReLU, {}, lambda torch, x: torch.relu(x)),
    (ReLU, dict(negative_slope=0.1), lambda torch, x: torch.nn.functional.leaky_relu(x, 0.1)),
    (PReLU, {}, lambda torch, x: torch.nn.functional.prelu(x, torch.full((x.shape[1],), 0.25, requires_grad=True))),
    (Sigmoid, {}, lambda torch, x: torch.sigmoid(x)),
    (TanH, {}, lambda torch, x: torch.tanh(x)),
    (ELU, {}, lambda torch, x: torch.nn.functional.elu(x)),
    (Swish, {}, lambda torch, x: torch.nn.functional.silu(x)),
    (BNLL, {}, lambda torch, x: torch.nn.functional.softplus(x)),
    (Clip, dict(min=0.0, max=6.0), lambda torch, x: torch.clip(x, 0, 6)),
    (AbsVal, {}, lambda torch, x: torch.abs(x)),
    (Exp, {}, lambda torch, x: torch.exp(x)),
    (Power, dict(power=2.0, shift=1.0), lambda torch, x: (x + 1) ** 2),
]


@pytest.mark.parametrize("layer, case, beside", ACTIVATIONS, ids=[a[0].type for a in ACTIVATIONS])
def test_activations(bench, layer, case, beside):
    bench(layer, case, PICTURES[:1], beside)


def test_logarithm(bench):
    bench(Log, {}, [np.abs(PICTURES[0]) + 0.1], lambda torch, x: torch.log(x))


@each_shape
def test_dropout(bench, x):
    bench(Dropout, {}, [x], lambda torch, x: torch.nn.functional.dropout(x))


@each_shape
def test_batch_norm_of_the_batch(bench, x):
    bench(BatchNorm, {}, [x], lambda torch, x: torch.nn.functional.batch_norm(x, None, None, training=True))


@each_shape
def test_batch_norm_of_kept_statistics(bench, x):
    def beside(torch, x):
        return torch.nn.functional.batch_norm(x, torch.zeros(x.shape[1]), torch.ones(x.shape[1]))

    bench(BatchNorm, {}, [x], beside, phase=Phase.TEST)


def test_batch_norm_of_two_axes(bench):
    x = RNG.normal(size=(256, 4096)).astype(np.float32)
    bench(BatchNorm, {}, [x], lambda torch, x: torch.nn.functional.batch_norm(x, None, None, training=True))


@pytest.mark.parametrize("in_place", [False, True], ids=["", "in place"])
@each_shape
def test_scale(bench, x, in_place):
    def beside(torch, x):
        s, b = (torch.ones(1, x.shape[1], 1, 1, requires_grad=True) for _ in "sb")
        return x * s + b

    bench(Scale, dict(bias_term=True), [x], beside, in_place=in_place)


@each_shape
def test_bias(bench, x):
    bench(Bias, {}, [x], lambda torch, x: x + torch.ones(1, x.shape[1], 1, 1, requires_grad=True))


@pytest.mark.parametrize("operation", ["SUM", "PROD", "MAX"])
def test_eltwise(bench, operation):
    x = PICTURES[0]
    beside = {"SUM": lambda torch, a, b: a + b, "PROD": lambda torch, a, b: a * b,
              "MAX": lambda torch, a, b: torch.maximum(a, b)}[operation]
    bench(Eltwise, dict(operation=operation), [x, x[::-1].copy()], beside, integers=())


@each_shape
def test_mvn(bench, x):
    bench(MVN, {}, [x], lambda torch, x: torch.nn.functional.instance_norm(x))


def test_normalize(bench):
    bench(Normalize, dict(across_spatial=False), PICTURES[:1], lambda torch, x: torch.nn.functional.normalize(x, dim=1))
