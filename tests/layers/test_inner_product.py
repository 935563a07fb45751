"""InnerProduct against its formula."""

from layerforge.layers.inner_product import InnerProduct
from layerforge.testing import LayerTest


class TestInnerProduct(LayerTest):
    layer = InnerProduct
    cases = [
        dict(num_output=3),
        dict(num_output=3, bias_term=False),
        dict(num_output=2, axis=2),
        dict(num_output=2, axis=-1, transpose=True),
    ]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4))]

    def expected(self, x, num_output, axis=1, transpose=False, bias_term=True):
        w = self.blobs[0].T if transpose else self.blobs[0]
        first = axis % x.ndim
        y = x.reshape(*x.shape[:first], -1) @ w.T
        return y + self.blobs[1] if bias_term else y
