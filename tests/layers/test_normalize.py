"""Normalize against its formula."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.normalize import Normalize
from layerforge.testing import LayerTest, Rig


class TestNormalize(LayerTest):
    layer = Normalize
    cases = [{}, dict(across_spatial=False), dict(eps=0.5), dict(across_spatial=False, eps=1e-3)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 2, 2))]

    def expected(self, x, across_spatial=True, eps=1e-10):
        return self.blobs[0] * x / np.sqrt((x**2).sum(axis=(1, 2, 3) if across_spatial else 1, keepdims=True) + eps)


X = np.random.default_rng(1).normal(size=(2, 3, 2, 2))


@pytest.mark.parametrize("across", [True, False])
def test_a_scale_per_channel_has_the_gradient_of_ssd(across):
    rig = Rig(Normalize, dict(channel_shared=False, across_spatial=across), [X], dtype=np.float64)
    s, g = np.array([2.0, -1.0, 0.5]), np.random.default_rng(2).normal(size=X.shape)
    rig.parameters()[0][...] = s
    axes, s = ((1, 2, 3) if across else 1), s.reshape(-1, 1, 1)
    norm = np.sqrt((X**2).sum(axis=axes, keepdims=True) + 1e-10)
    np.testing.assert_allclose(rig.forward()[0], s * X / norm)
    want = s * (g - X * (g * X).sum(axis=axes, keepdims=True) / norm**2) / norm
    np.testing.assert_allclose(rig.backward([g])[0], want)
    np.testing.assert_allclose(rig.gradients()[0], (g * X / norm).sum(axis=(0, 2, 3)))


def test_eps_can_stand_behind_the_root():
    y = Rig(Normalize, dict(add_eps_before_sqrt=False, eps=1.0), [np.array([[3.0], [4.0]])]).forward()[0]
    np.testing.assert_allclose(y, [[0.75], [0.8]], rtol=1e-6)


def test_it_cannot_work_in_place():
    with pytest.raises(LayerError, match="in place"):
        Rig(Normalize, {}, [X], in_place=True)
