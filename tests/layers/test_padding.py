"""Pad and MirrorPad."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.padding import MirrorPad, Pad
from layerforge.testing import LayerTest, Rig

WIDTHS = [1, 0, 2, 1, 0, 3]


class TestPad(LayerTest):
    layer, cases = Pad, [dict(paddings=WIDTHS, constant_values=0.5), dict(paddings=[0] * 6)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4))]

    def expected(self, x, paddings, constant_values=0.0):
        return np.pad(x, np.reshape(paddings, (3, 2)), constant_values=constant_values)


class TestMirrorPad(LayerTest):
    layer, cases = MirrorPad, [dict(paddings=WIDTHS, mode=mode) for mode in ("REFLECT", "SYMMETRIC", "CONSTANT")]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4))]

    def expected(self, x, paddings, mode):
        return np.pad(x, np.reshape(paddings, (3, 2)), mode.lower())


@pytest.mark.parametrize(
    "layer, case, said",
    [
        (Pad, dict(paddings=[1, 1]), "two per axis"),
        (MirrorPad, dict(paddings=[2, 0] * 3, mode="REFLECT"), "at most 1"),
    ],
)
def test_padding_refuses(layer, case, said):
    with pytest.raises(LayerError, match=said):
        Rig(layer, case, [np.zeros((2, 3, 4))])
