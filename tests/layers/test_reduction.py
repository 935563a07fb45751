"""Reduction."""

import numpy as np

from layerforge.layers.reduction import Reduction
from layerforge.testing import LayerTest, Rig


class TestReduction(LayerTest):
    layer = Reduction
    cases = [
        dict(operation=o, **more)
        for o in ("SUM", "ASUM", "SUMSQ", "MEAN")
        for more in (dict(), dict(axis=1, coeff=2.5), dict(axis=-1, coeff=-1.0))
    ]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4))]

    def expected(self, x, operation, axis=0, coeff=1.0):
        x = x.reshape(*x.shape[: axis % 3], -1)
        return coeff * {"SUM": x, "ASUM": abs(x), "SUMSQ": x * x, "MEAN": x / x.shape[-1]}[operation].sum(axis=-1)


def test_reduction_keeps_its_digits_over_many_values():
    x = np.random.default_rng(0).random((2, 200_001)).astype(np.float32)
    for operation, want in (("SUM", x.sum(axis=1, dtype=float)), ("SUMSQ", (x.astype(float) ** 2).sum(axis=1))):
        (y,) = Rig(Reduction, dict(operation=operation, axis=1), [x]).forward()
        np.testing.assert_allclose(y, want, rtol=2e-7)
