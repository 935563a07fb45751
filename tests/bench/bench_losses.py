"""Softmax, losses and Accuracy."""

import numpy as np
import pytest

from layerforge.layers.label_losses import HingeLoss, InfogainLoss, SoftmaxWithLoss
from layerforge.layers.losses import ContrastiveLoss, EuclideanLoss, SigmoidCrossEntropyLoss, SmoothL1Loss
from layerforge.layers.metrics import Accuracy
from layerforge.layers.softmax import Softmax

RNG = np.random.default_rng(0)
SHAPES = [(64, 10), (256, 1000), (2, 21, 250, 250)]


def scores(shape):
    return RNG.normal(size=shape).astype(np.float32)


def labels(shape):
    return RNG.integers(0, shape[1], (shape[0], *shape[2:])).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_softmax(bench, shape):
    bench(Softmax, {}, [scores(shape)], lambda torch, x: torch.softmax(x, 1))


@pytest.mark.parametrize("case", [{}, dict(loss_param=dict(ignore_label=255))], ids=["", "ignore"])
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_with_loss(bench, shape, case):
    inputs = [scores(shape), labels(shape)]
    bench(SoftmaxWithLoss, case, inputs, lambda torch, x, t: torch.nn.functional.cross_entropy(x, t, ignore_index=255))


@pytest.mark.parametrize("top_k", [1, 5])
@pytest.mark.parametrize("shape", SHAPES)
def test_accuracy(bench, shape, top_k):
    def beside(torch, x, t):
        return (x.detach().topk(top_k, 1).indices == t[:, None]).any(1).float().mean()

    bench(Accuracy, dict(top_k=top_k), [scores(shape), labels(shape)], beside)


@pytest.mark.parametrize("shape", [(64, 100), (64, 50000)])
def test_losses_over_values(bench, shape):
    a, b = scores(shape), RNG.random(shape).astype(np.float32)
    bench(EuclideanLoss, {}, [a, b], lambda torch, x, t: ((x - t) ** 2).sum() / (2 * len(x)), integers=())
    bench(SmoothL1Loss, {}, [a, b], lambda torch, x, t: torch.nn.functional.smooth_l1_loss(x, t), integers=())

    def entropy(torch, x, t):
        return torch.nn.functional.binary_cross_entropy_with_logits(x, t)

    bench(SigmoidCrossEntropyLoss, {}, [a, b], entropy, integers=())
    flags = RNG.integers(0, 2, shape[0]).astype(np.float32)
    bench(ContrastiveLoss, {}, [a, b, flags])


@pytest.mark.parametrize("shape", [(64, 10), (256, 1000)])
def test_hinge_and_infogain(bench, shape):
    inputs = [scores(shape), labels(shape)]
    bench(HingeLoss, dict(norm="L2"), inputs, lambda torch, x, t: torch.nn.functional.multi_margin_loss(x, t))
    bench(InfogainLoss, {}, [*inputs, np.eye(shape[1], dtype=np.float32)])
