"""Tile, TileND and BroadcastTo."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.repeating import BroadcastTo, Tile, TileND
from layerforge.testing import LayerTest, Rig


class TestTile(LayerTest):
    layer = Tile
    cases = [dict(tiles=1), dict(tiles=3), dict(tiles=2, axis=0), dict(tiles=4, axis=-1)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4))]

    def expected(self, x, tiles, axis=1):
        return np.concatenate([x] * tiles, axis=axis)


class TestTileND(LayerTest):
    layer, cases = TileND, [dict(multiples=[1, 1, 1]), dict(multiples=[2, 1, 3])]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 2))]

    def expected(self, x, multiples):
        return np.tile(x, multiples)


class TestBroadcastTo(LayerTest):
    layer, cases = BroadcastTo, [dict(shape=[2, 3, 4]), dict(shape=[3, 1]), dict(shape=[5, 1, 3, 1])]

    def inputs(self, rng):
        return [rng.normal(size=(3, 1))]

    def expected(self, x, shape):
        return np.broadcast_to(x, shape)


@pytest.mark.parametrize(
    "layer, case, said",
    [
        (TileND, dict(multiples=[2]), "multiples has 1 values"),
        (BroadcastTo, dict(shape=[4, 4]), "cannot be repeated"),
        (BroadcastTo, dict(shape=[3]), "cannot be repeated"),
    ],
)
def test_repeating_refuses(layer, case, said):
    with pytest.raises(LayerError, match=said):
        Rig(layer, case, [np.zeros((3, 1))])
