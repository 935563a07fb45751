"""Dropout: what is kept, how it is scaled, and that draws repeat."""

import numpy as np
import pytest

from layerforge.core.errors import PrototxtError
from layerforge.layers.dropout import Dropout
from layerforge.netdef.types import Phase
from layerforge.testing import LayerTest, Rig

X = np.linspace(1, 2, 4000, dtype=np.float32).reshape(40, 100)


class TestDropoutInTest(LayerTest):
    layer, cases, phase, in_place = Dropout, [{}, dict(scale_train=False, dropout_ratio=0.25)], Phase.TEST, True

    def inputs(self, rng):
        return [rng.normal(size=(3, 4))]

    def expected(self, x, dropout_ratio=0.5, scale_train=True):
        return x if scale_train else x * (1 - dropout_ratio)


class TestDropoutInTrain(LayerTest):
    layer, cases, in_place = Dropout, [{}, dict(dropout_ratio=0.25), dict(scale_train=False)], True

    def inputs(self, rng):
        return [rng.normal(size=(6, 7))]

    def expected(self, x, dropout_ratio=0.5, scale_train=True):
        bits = self.rng.stream("mask").at(0).bit_generator.random_raw(21).view(np.uint32)  # two words an output
        keep = (bits >= dropout_ratio * 2**32).reshape(x.shape)
        return x * keep / (1 - dropout_ratio if scale_train else 1)

    def _rig(self, case, inputs, **more):
        rig = super()._rig(case, inputs, **more)
        self.rng = rig.layer.rng
        return rig


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_the_share_of_dropped_values_is_the_ratio(ratio):
    y = Rig(Dropout, dict(dropout_ratio=ratio), [X]).forward()[0]
    assert abs((y == 0).mean() - ratio) < 0.03
    np.testing.assert_allclose(y[y != 0], (X / (1 - ratio))[y != 0], rtol=1e-6)


def test_backward_uses_the_mask_of_forward():
    rig = Rig(Dropout, {}, [X])
    y = rig.forward()[0]
    dx = rig.backward([np.ones(X.shape)])[0]
    np.testing.assert_array_equal(dx, np.where(y == 0, 0, 2).astype(np.float32))


def test_every_forward_pass_draws_anew_and_a_seed_repeats_it():
    rig, other = Rig(Dropout, {}, [X], seed=5), Rig(Dropout, {}, [X], seed=5)
    first, second = rig.forward()[0], rig.forward()[0]
    assert (first != second).any()
    np.testing.assert_array_equal(first, other.forward()[0])
    assert (Rig(Dropout, {}, [X], seed=6).forward()[0] != first).any()


def test_a_ratio_of_zero_keeps_everything():
    np.testing.assert_array_equal(Rig(Dropout, dict(dropout_ratio=0.0), [X]).forward()[0], X)


def test_a_ratio_of_one_is_refused():
    with pytest.raises(PrototxtError, match="dropout_ratio"):
        Rig(Dropout, dict(dropout_ratio=1.0), [X])
