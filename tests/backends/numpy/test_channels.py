"""Sums over all axes but one."""

import numpy as np
import pytest

from layerforge.backends import get_backend

OPS = get_backend("numpy").ops


@pytest.mark.parametrize("length", [0, 1, 31, 32, 256, 700])
def test_channel_sum_takes_every_value_once(length):
    x = np.random.default_rng(0).integers(-9, 9, size=(2, 3, length)).astype(np.float32)
    out = np.zeros(3)
    OPS.channel_sum(x, out=out)
    np.testing.assert_array_equal(out, x.sum(axis=(0, 2)))


def test_channel_sum_overwrites_out_and_adds_to_acc():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    out, acc = np.full(3, 9, np.float32), np.ones(3, np.float32)
    OPS.channel_sum(x, out=out)
    OPS.channel_sum(x, acc=acc)
    np.testing.assert_array_equal(out, x.sum(axis=(0, 2)))
    np.testing.assert_array_equal(acc, out + 1)


@pytest.mark.parametrize("length", [0, 1, 4, 40, 256, 700])
def test_channel_dot_sums_products(length):
    a, b = np.random.default_rng(0).normal(size=(2, 2, 3, length)).astype(np.float32)
    out, acc = np.zeros(3), np.ones(3, np.float32)
    OPS.channel_dot(a, b, out=out)
    OPS.channel_dot(a, b, acc=acc)
    want = (a.astype(np.float64) * b).sum(axis=(0, 2))
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(acc, want + 1, rtol=1e-5, atol=1e-6)


def test_sums_of_many_small_values_keep_their_digits():
    x = np.full((1, 1, 1 << 20), 0.1, np.float32)
    total, squares = np.zeros(1), np.zeros(1)
    OPS.channel_sum(x, out=total)
    OPS.channel_dot(x, x, out=squares)
    np.testing.assert_allclose(total, np.float64(np.float32(0.1)) * x.size, rtol=1e-6)
    np.testing.assert_allclose(squares, np.float64(np.float32(0.1)) ** 2 * x.size, rtol=1e-6)
