"""LayerNorm and LpNormalization against their formulas."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.layer_norm import LayerNorm, LpNormalization
from layerforge.testing import LayerTest, Rig


class TestLayerNorm(LayerTest):
    layer, cases, in_place = LayerNorm, [{}, dict(elementwise_affine=False), dict(eps=0.1)], True
    gradient_tolerance = 1e-4

    def inputs(self, rng):
        return [rng.normal(1, 2, size=(3, 4, 5))]

    def expected(self, x, eps=1e-5, elementwise_affine=True):
        axes = (1, 2)
        y = (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + eps)
        return y * self.blobs[0] + self.blobs[1] if elementwise_affine else y


class TestLpNormalization(LayerTest):
    layer, cases, kinks = LpNormalization, [dict(axis=[1]), dict(axis=[-1, 0]), dict(axis=[1], p=1)], (0.0,)

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4))]

    def expected(self, x, axis, p=2):
        return x / (np.abs(x) ** p).sum(axis=tuple(axis), keepdims=True) ** (1 / p)


def test_layer_norm_starts_as_the_identity_of_what_is_normal():
    gamma, beta = Rig(LayerNorm, {}, [np.zeros((2, 3))]).parameters()
    assert gamma.tolist() == [1, 1, 1] and beta.tolist() == [0, 0, 0]


def test_samples_of_another_shape_are_refused():
    rig = Rig(LayerNorm, {}, [np.zeros((2, 3))])
    with pytest.raises(LayerError, match="γ was made for"):
        rig.forward([np.zeros((2, 4))])


def test_an_axis_is_needed():
    with pytest.raises(LayerError, match="axis is missing"):
        Rig(LpNormalization, {}, [np.ones((2, 3))])
