"""Embed against picking rows."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.embed import Embed
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig


class TestEmbed(LayerTest):
    layer = Embed
    cases = [dict(input_dim=5, num_output=3), dict(input_dim=5, num_output=2, bias_term=False)]

    def inputs(self, rng):
        return [rng.integers(0, 5, (4, 3))]

    def expected(self, index, bias_term=True, **_):
        y = self.blobs[0][index.astype(int)]
        return y + self.blobs[1] if bias_term else y


@pytest.mark.parametrize("value", [5, -1, np.nan])
def test_an_index_out_of_range_is_refused(value):
    made = Rig(Embed, dict(input_dim=5, num_output=2), [np.array([0, 1, value])])
    with pytest.raises(LayerForgeError, match="at place 2, expected 0 to 4"):
        made.forward()
