"""MatMul and Gemm."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.products import Gemm, MatMul
from layerforge.testing import LayerTest, Rig


def turned(x, turn):
    return x.swapaxes(-1, -2) if turn else x


class TestMatMul(LayerTest):
    layer = MatMul
    cases = [dict(transpose_a=a, transpose_b=b) for a in (False, True) for b in (False, True)]

    def inputs(self, rng, transpose_a, transpose_b):
        return [turned(rng.normal(size=(2, 3, 4)), transpose_a), turned(rng.normal(size=(2, 4, 5)), transpose_b)]

    def expected(self, a, b, transpose_a, transpose_b):
        return turned(a, transpose_a) @ turned(b, transpose_b)


class TestGemm(LayerTest):
    layer = Gemm
    cases = [dict(transA=a, transB=b, alpha=0.5, beta=2.0) for a in (0, 1) for b in (0, 1)] + [dict()]
    c_shape = (3, 5)

    def inputs(self, rng, transA=0, transB=0, **case):
        return [
            turned(rng.normal(size=(3, 4)), transA),
            turned(rng.normal(size=(4, 5)), transB),
            rng.normal(size=self.c_shape),
        ]

    def expected(self, a, b, c, transA=0, transB=0, alpha=1.0, beta=1.0):
        return alpha * (turned(a, transA) @ turned(b, transB)) + beta * c


class TestGemmWithRow(TestGemm):
    c_shape = (5,)


class TestGemmWithColumn(TestGemm):
    c_shape = (3, 1)


@pytest.mark.parametrize(
    "layer, shapes, said",
    [
        (MatMul, [(2, 3, 4), (4, 5)], "last two axes only"),
        (MatMul, [(3, 4), (3, 4)], "4 and 3 values"),
        (Gemm, [(1, 3, 4), (4, 5)], "two axes"),
        (Gemm, [(3, 4), (3, 4)], "4 and 3 values"),
        (Gemm, [(3, 4), (4, 5), (4,)], "cannot be repeated"),
    ],
)
def test_products_refuse_shapes(layer, shapes, said):
    with pytest.raises(LayerError, match=said):
        Rig(layer, {}, [np.zeros(s) for s in shapes])
