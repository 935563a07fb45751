"""SpaceToBatchND and BatchToSpaceND."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.batch_blocks import BatchToSpaceND, SpaceToBatchND
from layerforge.testing import LayerTest, Rig


class TestSpaceToBatch(LayerTest):
    layer = SpaceToBatchND
    cases = [dict(block_shape=[2, 3], paddings=[0, 1, 2, 1]), dict(block_shape=[1, 1], paddings=[0, 0, 0, 0])]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 6, 2))]

    def expected(self, x, block_shape, paddings):
        x = np.pad(x, [(0, 0), paddings[:2], paddings[2:], (0, 0)])
        rows, columns = block_shape
        return np.concatenate([x[:, i::rows, j::columns] for i in range(rows) for j in range(columns)])


class TestBatchToSpace(LayerTest):
    layer = BatchToSpaceND
    cases = [dict(block_shape=[2, 3], crops=[1, 0, 2, 1]), dict(block_shape=[3, 2], crops=[0] * 6)]

    def inputs(self, rng):
        return [rng.normal(size=(12, 3, 2, 2))]

    def expected(self, x, block_shape, crops):
        rows, columns = block_shape
        y = np.empty((2, 3 * rows, 2 * columns, 2))
        for k, (i, j) in enumerate(np.ndindex(rows, columns)):
            y[:, i::rows, j::columns] = x[2 * k : 2 * k + 2]
        return y[:, crops[0] : 3 * rows - crops[1], crops[2] : 2 * columns - crops[3]]


@pytest.mark.parametrize(
    "layer, case, said",
    [
        (SpaceToBatchND, dict(block_shape=[2], paddings=[0, 0]), "do not divide"),
        (SpaceToBatchND, dict(block_shape=[2], paddings=[0]), "two for each"),
        (SpaceToBatchND, dict(), "block_shape has 0 values"),
        (BatchToSpaceND, dict(block_shape=[3], crops=[0, 0]), "3 blocks do not divide"),
        (BatchToSpaceND, dict(block_shape=[2], crops=[3, 3]), "leave nothing"),
    ],
)
def test_blocks_refuse_shapes(layer, case, said):
    with pytest.raises(LayerError, match=said):
        Rig(layer, case, [np.zeros((4, 3))])
