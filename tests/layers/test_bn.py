"""BN in both dialects."""

import numpy as np

from layerforge.layers.bn import BN
from layerforge.netdef.types import Phase
from layerforge.testing import LayerTest, Rig


def normal(x, eps):
    return (x - x.mean(axis=(0, 2, 3), keepdims=True)) / np.sqrt(x.var(axis=(0, 2, 3), keepdims=True) + eps)


class TestBN(LayerTest):
    layer, in_place, gradient_tolerance = BN, True, 1e-4
    cases = [{}, dict(bn_mode="INFERENCE"), dict(icnet=True), dict(eps=0.1)]

    def inputs(self, rng):
        return [rng.normal(1, 2, size=(3, 2, 4, 2))]

    def expected(self, x, bn_mode="LEARN", icnet=False, eps=None):
        gamma, beta = self.blobs[:2]
        if bn_mode == "INFERENCE":
            return gamma * x + beta
        return gamma * normal(x, eps or (1e-5 if icnet else 1e-9)) + beta


X = np.random.default_rng(4).normal(1, 2, size=(3, 2, 2, 2)).astype(np.float32)


def test_the_form_of_segnet_has_two_blobs_and_uses_the_batch_in_test():
    rig = Rig(BN, dict(scale_filler=dict(value=1.0)), [X], phase=Phase.TEST)
    assert [p.shape for p in rig.parameters()] == [(1, 2, 1, 1)] * 2
    np.testing.assert_allclose(rig.forward()[0], normal(X, 1e-9), rtol=1e-4, atol=1e-5)


def test_the_form_of_pspnet_moves_its_statistics_by_the_momentum():
    rig = Rig(BN, dict(momentum=0.8), [X])
    rig.parameters()[2][...] = 5
    rig.forward()
    np.testing.assert_allclose(rig.parameters()[2].reshape(-1), 4 + 0.2 * X.mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(rig.parameters()[3].reshape(-1), 0.2 * X.var(axis=(0, 2, 3)), rtol=1e-5)


def test_the_form_of_pspnet_uses_its_statistics_in_test():
    rig = Rig(BN, dict(icnet=True), [X], phase=Phase.TEST)
    rig.parameters()[2][...], rig.parameters()[3][...] = 2, 4
    np.testing.assert_allclose(rig.forward()[0], (X - 2) / np.sqrt(4 + 1e-5), rtol=1e-5, atol=1e-6)


def test_a_frozen_layer_starts_as_identity_and_learns_nothing():
    rig = Rig(BN, dict(frozen=True), [X])
    np.testing.assert_allclose(rig.forward()[0], X, rtol=1e-4)
    np.testing.assert_allclose(rig.backward([X])[0], X, rtol=1e-4)
    assert rig.layer.fixed == {0, 1, 2, 3} and not any(g.any() for g in rig.gradients())
