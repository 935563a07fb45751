"""MVN against its formula."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.mvn import MVN
from layerforge.testing import LayerTest, Rig


class TestMVN(LayerTest):
    layer, in_place, gradient_tolerance = MVN, True, 1e-4
    cases = [
        {}, dict(across_channels=True), dict(normalize_variance=False),
        dict(normalize_variance=False, across_channels=True), dict(eps=0.5, add_eps_before_sqrt=True),
    ]

    def inputs(self, rng):
        return [rng.normal(1, 2, size=(2, 3, 4, 3))]

    def expected(self, x, across_channels=False, normalize_variance=True, eps=1e-9, add_eps_before_sqrt=False):
        axes = (1, 2, 3) if across_channels else (2, 3)
        centred = x - x.mean(axis=axes, keepdims=True)
        if not normalize_variance:
            return centred
        variance = x.var(axis=axes, keepdims=True)
        return centred / (np.sqrt(variance + eps) if add_eps_before_sqrt else np.sqrt(variance) + eps)


def test_eps_is_added_to_the_deviation():
    x = np.array([[[[1.0, 3.0]]]])
    np.testing.assert_allclose(Rig(MVN, dict(eps=1.0), [x]).forward()[0], [[[[-0.5, 0.5]]]])


def test_the_output_has_four_axes():
    assert Rig(MVN, {}, [np.ones((2, 3))]).forward()[0].shape == (2, 3, 1, 1)


def test_five_axes_are_refused():
    with pytest.raises(LayerError, match="at most four axes"):
        Rig(MVN, {}, [np.zeros((1,) * 5)])
