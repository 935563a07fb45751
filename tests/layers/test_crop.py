"""Crop against slicing."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.crop import Crop
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig


class TestCrop(LayerTest):
    layer, check_bottoms = Crop, (0,)
    cases = [
        dict(),
        dict(offset=[1]),
        dict(offset=[2, 0]),
        dict(axis=1, offset=[1, 0, 2]),
        dict(axis=-1, offset=[2]),
    ]

    def inputs(self, rng, axis=2, **_):
        sizes = (1, 1, 2, 3)
        x = (2, 3, 4, 5)
        first = axis % 4
        return [rng.normal(size=x), np.zeros(x[:first] + sizes[first:])]

    def expected(self, x, like, axis=2, offset=(0,)):
        first = axis % 4
        offsets = list(offset) * (4 - first) if len(offset) == 1 else offset
        return x[(..., *(slice(o, o + n) for o, n in zip(offsets, like.shape[first:])))]


@pytest.mark.parametrize("case, words", [
    (dict(offset=[3]), "axis 2: offset 3 and size 2 reach beyond 4"),
    (dict(offset=[1, 1, 1]), "3 offsets for 2 cut axes"),
    (dict(axis=4), "axis: 4, but the blob has 4 axes"),
])
def test_a_crop_that_does_not_fit_is_refused(case, words):
    with pytest.raises(LayerForgeError) as caught:
        Rig(Crop, case, [np.zeros((2, 3, 4, 5)), np.zeros((2, 3, 2, 2))])
    assert words in str(caught.value)
