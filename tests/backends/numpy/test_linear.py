"""Matrix products, biases and their gradients."""

import numpy as np
import pytest

from layerforge.backends.numpy import NumpyOps, linear

OPS, RNG = NumpyOps(), np.random.default_rng(0)


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("trans_b", [False, True])
@pytest.mark.parametrize("trans_a", [False, True])
def test_a_product_is_written_or_added(trans_a, trans_b, batch, monkeypatch):
    monkeypatch.setattr(linear, "PRODUCT_BYTES", 64)  # several pieces
    a, b = RNG.normal(size=(*batch, 5, 4)), RNG.normal(size=(*batch, 4, 6))
    want = a @ b
    a, b = (np.ascontiguousarray(m.swapaxes(-1, -2)) if turn else m for m, turn in ((a, trans_a), (b, trans_b)))
    out, acc = np.full(want.shape, np.nan), np.ones(want.shape)
    OPS.matmul(a, b, trans_a=trans_a, trans_b=trans_b, out=out)
    OPS.matmul(a, b, trans_a=trans_a, trans_b=trans_b, acc=acc)
    np.testing.assert_allclose(out, want)
    np.testing.assert_allclose(acc, 1 + want)


def test_a_batch_of_one_is_repeated():
    a, b, out = RNG.normal(size=(1, 5, 4)), RNG.normal(size=(3, 4, 6)), np.empty((3, 5, 6))
    OPS.matmul(a, b, out=out)
    np.testing.assert_allclose(out, a @ b)


@pytest.mark.parametrize("shape, axis", [((4, 3), 1), ((2, 3, 5), 1), ((2, 3, 4, 5), 1), ((2, 5, 3), 2)])
def test_a_bias_goes_to_its_axis_and_its_gradient_comes_back(shape, axis):
    y, b, acc = RNG.normal(size=shape), RNG.normal(size=3), np.ones(3)
    where = tuple(3 if i == axis else 1 for i in range(len(shape)))
    want = y + b.reshape(where)
    rest = tuple(i for i in range(len(shape)) if i != axis)
    OPS.bias_gradient(y, acc, axis)
    np.testing.assert_allclose(acc, 1 + y.sum(axis=rest))
    OPS.add_bias(y, b, axis)
    np.testing.assert_allclose(y, want)
