"""Losses over values."""

from types import MappingProxyType

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.label_losses import HingeLoss, InfogainLoss, MultinomialLogisticLoss, SoftmaxWithLoss
from layerforge.layers.losses import ContrastiveLoss, EuclideanLoss, SigmoidCrossEntropyLoss, SmoothL1Loss
from layerforge.testing import LayerTest, Rig


class TestEuclideanLoss(LayerTest):
    layer = EuclideanLoss

    def inputs(self, rng):
        return [rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 6))]

    def expected(self, a, b):
        return ((a.ravel() - b.ravel()) ** 2).sum() / 8


def test_euclidean_loss_keeps_its_digits_over_many_values():
    a = np.random.default_rng(0).normal(size=(1, 300_000)).astype(np.float32)
    (loss,) = Rig(EuclideanLoss, {}, [a, np.zeros_like(a)]).forward()
    np.testing.assert_allclose(loss, (a.astype(float) ** 2).sum() / 2, rtol=3e-7)


def test_euclidean_loss_refuses_bottoms_of_different_size():
    with pytest.raises(LayerError, match="equally many"):
        Rig(EuclideanLoss, {}, [np.zeros((2, 3)), np.zeros((2, 4))])


@pytest.mark.parametrize("layer", [EuclideanLoss, SigmoidCrossEntropyLoss])
def test_a_loss_refuses_different_batch_sizes(layer):
    with pytest.raises(LayerError, match="first axes must agree"):
        Rig(layer, {}, [np.zeros((2, 3)), np.zeros((3, 2))])


class TestSigmoidCrossEntropyLoss(LayerTest):
    layer = SigmoidCrossEntropyLoss
    cases = [
        dict(),
        *(
            dict(loss_param=dict(normalization=mode, ignore_label=0))
            for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE")
        ),
        dict(loss_param=dict(normalization="VALID")),
        dict(loss_param=dict(normalize=True, ignore_label=1)),
        dict(loss_param=dict(normalize=False)),
    ]

    def inputs(self, rng):
        return [rng.normal(size=(4, 6)) * 4, np.r_[0.0, 1, 1, rng.random(21)].reshape(4, 6)]

    def expected(self, x, t, loss_param=MappingProxyType({})):
        terms = np.log1p(np.exp(x)) - x * t
        valid = t.astype(int) != loss_param.get("ignore_label", 99)
        mode = loss_param.get("normalization") or ("VALID" if loss_param.get("normalize") else "BATCH_SIZE")
        return terms[valid].sum() / {"FULL": 24, "VALID": valid.sum(), "BATCH_SIZE": 4, "NONE": 1}[mode]


def test_sigmoid_loss_takes_huge_scores():
    x, t = np.array([[1e4, -1e4, 1e4]]), np.array([[1.0, 0.0, 0.0]])
    rig = Rig(SigmoidCrossEntropyLoss, {}, [x, t])
    assert rig.forward()[0] == 1e4
    np.testing.assert_array_equal(rig.backward([1.0], [True, False])[0], [[0, 0, 1]])


def test_a_divisor_is_at_least_one():
    case = dict(loss_param=dict(normalization="VALID", ignore_label=0))
    rig = Rig(SigmoidCrossEntropyLoss, case, [np.ones((2, 2)), np.zeros((2, 2))])
    assert rig.forward()[0] == 0
    assert (rig.backward([1.0])[0] == 0).all()


def test_a_gradient_for_targets_is_refused():
    rig = Rig(SigmoidCrossEntropyLoss, {}, [np.ones((2, 2)), np.zeros((2, 2))])
    rig.forward()
    with pytest.raises(LayerError, match=r"bottom\[1\] cannot get a gradient"):
        rig.backward([1.0], [True, True])


class TestContrastiveLoss(LayerTest):
    layer = ContrastiveLoss
    cases = [dict(legacy_version=True), dict(margin=3.0, legacy_version=True)]

    def inputs(self, rng):
        return [rng.normal(size=(6, 3)), rng.normal(size=(6, 3, 1, 1)), np.array([0, 1, 2, 0, 0.9, 0])]

    def expected(self, a, b, similar, margin=1.0, legacy_version=False):
        squared = ((a - b.reshape(a.shape)) ** 2).sum(axis=1)
        apart = margin - squared if legacy_version else np.maximum(margin - np.sqrt(squared), 0) ** 2
        return np.where(similar.astype(int) != 0, squared, np.maximum(apart, 0)).sum() / 12

    def test_the_formula_without_legacy(self):
        rng = np.random.default_rng(3)
        a, b, similar = self.inputs(rng)
        rig = Rig(ContrastiveLoss, dict(margin=3.0), [a, b, similar], dtype=np.float64)
        np.testing.assert_allclose(rig.forward()[0], self.expected(a, b, similar, margin=3.0))
        da, db, _ = rig.backward([2.0])
        difference = a - b.reshape(a.shape)
        d = np.sqrt((difference**2).sum(axis=1))
        factor = np.where(similar.astype(int) != 0, 1, -np.maximum(3 - d, 0) / (d + 1e-4))  # Caffe's 1e-4
        np.testing.assert_allclose(da, 2.0 / 6 * factor[:, None] * difference)
        np.testing.assert_array_equal(db.reshape(a.shape), -da)


@pytest.mark.parametrize(
    "shapes, said",
    [
        ([(2, 3, 2), (2, 6), (2,)], r"must be \(N, C\)"),
        ([(2, 3), (2, 4), (2,)], r"bottom\[1\] is"),
        ([(2, 3), (2, 3), (2, 2)], "one flag per pair"),
    ],
)
def test_contrastive_loss_refuses_shapes(shapes, said):
    with pytest.raises(LayerError, match=said):
        Rig(ContrastiveLoss, {}, [np.zeros(s) for s in shapes])


def smooth_l1(d, sigma):
    return np.where(abs(d) < sigma**-2, 0.5 * sigma**2 * d * d, abs(d) - 0.5 * sigma**-2)


class TestSmoothL1Loss(LayerTest):
    layer, cases = SmoothL1Loss, [dict(), dict(sigma=3.0), dict(sigma=0.5)]

    def inputs(self, rng):
        return [rng.normal(size=(3, 4)), rng.normal(size=(3, 4))]

    def expected(self, a, b, sigma=1.0):
        return smooth_l1(a - b, sigma).sum() / 3


class TestSmoothL1LossWithWeights(LayerTest):
    layer, cases = SmoothL1Loss, [dict(sigma=2.0, abssum=False)]

    def inputs(self, rng):
        return [rng.normal(size=(3, 4)) for _ in range(4)]

    def expected(self, a, b, w, v, sigma, abssum):
        return (v * smooth_l1(w * (a - b), sigma)).sum() / 3


def test_smooth_l1_leaves_inside_weights_out_of_the_gradient_by_default():
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(3, 4)) for _ in range(3)]
    first, second = (Rig(SmoothL1Loss, case, inputs, dtype=np.float64) for case in (dict(), dict(abssum=False)))
    np.testing.assert_allclose(first.backward([1.0])[0] * inputs[2], second.backward([1.0])[0])


@pytest.mark.parametrize(
    "layer, inputs",
    [
        (EuclideanLoss, [(0, 3), (0, 3)]),
        (SigmoidCrossEntropyLoss, [(0, 3), (0, 3)]),
        (SmoothL1Loss, [(0, 3), (0, 3)]),
        (ContrastiveLoss, [(0, 3), (0, 3), (0,)]),
        (SoftmaxWithLoss, [(0, 3), (0,)]),
        (HingeLoss, [(0, 3), (0,)]),
        (MultinomialLogisticLoss, [(0, 3), (0,)]),
        (InfogainLoss, [(0, 3), (0,), (3, 3)]),
    ],
)
def test_an_empty_batch_costs_nothing(layer, inputs):
    rig = Rig(layer, {}, [np.ones(shape) for shape in inputs])
    assert rig.forward()[0] == 0
    assert rig.backward([1.0])[0].shape == (0, 3)
