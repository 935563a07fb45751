"""BatchNorm: both forms, the moving sums, and what it refuses."""

import numpy as np
import pytest

from layerforge.backends import get_backend
from layerforge.core.blob import Blob, View
from layerforge.core.errors import LayerError
from layerforge.core.random import Random
from layerforge.layers.batch_norm import BatchNorm
from layerforge.netdef.types import LayerDef, ParamSpec, Phase
from layerforge.testing import LayerTest, Rig, check_gradient


def moments(x):
    axes = (0, *range(2, x.ndim))
    return x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)


class TestBatchNormOfTheBatch(LayerTest):
    layer, in_place = BatchNorm, True
    cases = [{}, dict(eps=0.1), dict(scale_bias=True), dict(eps=0.1, add_eps_before_sqrt=False)]
    gradient_tolerance = 1e-4

    def inputs(self, rng):
        return [rng.normal(1, 2, size=(3, 2, 4, 2))]

    def expected(self, x, eps=1e-5, scale_bias=False, add_eps_before_sqrt=True):
        mean, var = moments(x)
        y = (x - mean) / (np.sqrt(var + eps) if add_eps_before_sqrt else np.sqrt(var) + eps)
        return y * self.blobs[3].reshape(-1, 1, 1) + self.blobs[4].reshape(-1, 1, 1) if scale_bias else y

    def test_gradient_agrees_with_differences(self, case):
        if not case.get("add_eps_before_sqrt", True):
            case = dict(case, eps=1e-7)  # the gradient takes the deviation with eps for the one without
        super().test_gradient_agrees_with_differences(case)


class TestBatchNormOfTwoAxes(LayerTest):
    layer, in_place = BatchNorm, True

    def inputs(self, rng):
        return [rng.normal(size=(6, 3))]

    def expected(self, x):
        mean, var = moments(x)
        return (x - mean) / np.sqrt(var + 1e-5)


X = np.random.default_rng(3).normal(2, 3, size=(4, 3, 5)).astype(np.float32)
SUMS = [np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0]), np.array([2.0])]


def with_sums(rig, sums=SUMS):
    for p, values in zip(rig.parameters(), sums):
        p[...] = values
    return rig


@pytest.mark.parametrize("phase, case", [(Phase.TEST, {}), (Phase.TRAIN, dict(use_global_stats=True))])
def test_kept_statistics_are_the_sums_divided_by_the_third_blob(phase, case):
    rig = with_sums(Rig(BatchNorm, case, [X], phase=phase))
    mean, var = SUMS[0].reshape(-1, 1) / 2, SUMS[1].reshape(-1, 1) / 2
    np.testing.assert_allclose(rig.forward()[0], (X - mean) / np.sqrt(var + 1e-5), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rig.backward([X])[0], X / np.sqrt(var + 1e-5), rtol=1e-5)
    for p, values in zip(rig.parameters(), SUMS):
        np.testing.assert_array_equal(p, values)


def test_kept_statistics_of_weight_zero_are_zero():
    rig = with_sums(Rig(BatchNorm, {}, [X], phase=Phase.TEST), [*SUMS[:2], [0.0]])
    np.testing.assert_allclose(rig.forward()[0], X / np.sqrt(1e-5), rtol=1e-5)


def test_the_batch_counts_in_test_when_asked():
    y = Rig(BatchNorm, dict(use_global_stats=False), [X], phase=Phase.TEST).forward()[0]
    np.testing.assert_allclose(y.mean(axis=(0, 2)), 0, atol=1e-6)


def test_the_moving_sums_get_the_new_statistics_unweighted():
    rig = with_sums(Rig(BatchNorm, dict(moving_average_fraction=0.5), [X]))
    rig.forward()
    mean, var = (values.reshape(-1) for values in moments(X.astype(np.float64)))
    for p, want in zip(rig.parameters(), (SUMS[0] * 0.5 + mean, SUMS[1] * 0.5 + var * 20 / 19, [2.0])):
        np.testing.assert_allclose(p, want, rtol=1e-5)


def test_statistics_keep_their_digits_far_from_zero():
    rng = np.random.default_rng(0)
    x = (1000 + rng.normal(size=(8, 2, 4000))).astype(np.float32)
    rig = Rig(BatchNorm, dict(moving_average_fraction=0.0), [x])
    rig.forward()
    _, var = moments(x.astype(np.float64))
    np.testing.assert_allclose(rig.parameters()[1], var.reshape(-1) * 32000 / 31999, rtol=1e-6)


def test_scale_and_bias_have_gradients():
    x = np.random.default_rng(1).normal(size=(3, 2, 4))
    rig = Rig(BatchNorm, dict(scale_bias=True), [x], dtype=np.float64)
    rig.parameters()[3][...], rig.parameters()[4][...] = [2.0, -1.0], [0.5, 0.25]
    y, g = rig.forward()[0], np.random.default_rng(2).normal(size=x.shape)
    mean, var = moments(x)
    normal = (x - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(y, normal * [[2], [-1]] + [[0.5], [0.25]])
    rig.backward([g])
    np.testing.assert_allclose(rig.gradients()[3], (g * normal).sum(axis=(0, 2)))
    np.testing.assert_allclose(rig.gradients()[4], g.sum(axis=(0, 2)))


def test_the_gradient_of_kept_statistics_agrees_with_differences():
    check_gradient(BatchNorm, dict(use_global_stats=True, scale_bias=True), [X])


def test_one_axis_is_refused():
    with pytest.raises(LayerError, match="at least two axes"):
        Rig(BatchNorm, {}, [np.zeros(3)])


def set_up(*lr_mults):
    definition = LayerDef("bn", "BatchNorm", param=tuple(ParamSpec(lr_mult=lr) for lr in lr_mults))
    layer = BatchNorm(definition, backend=get_backend(), rng=Random(0))
    layer.setup([View(Blob((2, 3)))], [View(Blob())])
    return layer


def test_a_learning_rate_for_the_statistics_is_refused():
    with pytest.raises(LayerError, match="param 1 has lr_mult 1, but it is a statistic"):
        set_up(0.0, None)


def test_the_statistics_are_fixed():
    assert set_up(0.0, 0.0, 0.0).fixed == {0, 1, 2}
