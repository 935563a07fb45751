"""Pooling kernels of NumPy against windows taken one by one."""

import numpy as np
import pytest

from layerforge.backends.numpy import NumpyOps, blocks
from layerforge.core.window import Window

OPS = NumpyOps()

CASES = {  # name: (window, (Ho, Wo)) on a plane of 7 × 6
    "plain": (Window.make((2, 2), 2), (3, 3)),
    "overhang": (Window.make((3, 2), 2), (3, 3)),
    "overhang_at_the_end": (Window.make((2, 4), 2), (4, 2)),
    "padded": (Window.make((3, 3), 2, 1), (4, 4)),
    "pad_of_two": (Window.make((5, 3), (2, 1), (2, 1)), (4, 6)),
    "uneven_padding": (Window.make((3, 3), 2, (1, 0), 1, (1, 1)), (4, 3)),
    "gaps": (Window.make((2, 2), 4), (2, 2)),
    "whole": (Window.make((7, 6)), (1, 1)),
    "large_kernel": (Window.make((17, 17), 1, 8), (7, 6)),
}
SHAPE = (2, 3, 7, 6)


@pytest.fixture(params=["one block", "one plane a block"], autouse=True)
def block_size(request, monkeypatch):
    if request.param == "one plane a block":
        monkeypatch.setattr(blocks.blocks, "__defaults__", (1,))


def windows(window, outs):
    """(p, q, rows, columns, size with padding) of every window, cut at the plane."""
    for p in range(outs[0]):
        for q in range(outs[1]):
            spans, size = [], 1
            for axis, at in enumerate((p, q)):
                start = at * window.stride[axis] - window.pad[axis]
                end = min(start + window.kernel[axis], SHAPE[2 + axis] + window.pad_end[axis])
                size *= end - start
                spans.append(slice(max(start, 0), min(end, SHAPE[2 + axis])))
            yield p, q, spans[0], spans[1], size


@pytest.mark.parametrize("name", CASES)
def test_max_pool_takes_the_first_largest_value_in_row_order(name):
    window, outs = CASES[name]
    x = np.random.default_rng(0).integers(0, 4, SHAPE).astype(float)  # many ties
    y, index = np.full((*SHAPE[:2], *outs), np.nan), np.full((*SHAPE[:2], *outs), -7, np.int32)
    OPS.max_pool(x, window, out=y, index=index)
    for p, q, rows, cols, _ in windows(window, outs):
        for n in range(SHAPE[0]):
            for c in range(SHAPE[1]):
                seen = x[n, c, rows, cols]
                i, j = np.unravel_index(seen.argmax(), seen.shape)
                assert y[n, c, p, q] == seen.max()
                assert index[n, c, p, q] == (rows.start + i) * SHAPE[3] + cols.start + j
    dy = np.random.default_rng(1).normal(size=y.shape)
    dx, want = np.full(SHAPE, np.nan), np.zeros(SHAPE)
    OPS.max_pool_gradient(dy, index, window, out=dx)
    flat = want.reshape(*SHAPE[:2], -1)
    for n, c, p, q in np.ndindex(*dy.shape):
        flat[n, c, index[n, c, p, q]] += dy[n, c, p, q]
    np.testing.assert_allclose(dx, want, rtol=1e-12, atol=1e-12)


def test_nan_never_wins_a_maximum():
    x = np.array([np.nan, 1.0, 2.0, np.nan]).reshape(1, 1, 2, 2)
    y, index = np.empty((1, 1, 1, 1)), np.empty((1, 1, 1, 1), np.int32)
    OPS.max_pool(x, Window.make((2, 2)), out=y, index=index)
    assert y.item() == 2 and index.item() == 2


def test_a_window_without_numbers_gives_the_lowest_number_and_no_gradient():
    x = np.full((1, 1, 2, 2), np.nan, np.float32)
    y, index, dx = np.empty((1, 1, 1, 1), np.float32), np.empty((1, 1, 1, 1), np.int32), np.ones_like(x)
    OPS.max_pool(x, Window.make((2, 2)), out=y, index=index)
    assert y.item() == np.finfo(np.float32).min and index.item() == -1
    OPS.max_pool_gradient(np.ones_like(y), index, Window.make((2, 2)), out=dx)
    assert not dx.any()


@pytest.mark.parametrize("count_padding", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_average_pool_equals_the_definition(name, count_padding):
    window, outs = CASES[name]
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=SHAPE), rng.normal(size=(*SHAPE[:2], *outs))
    y, dx, want = np.full(dy.shape, np.nan), np.full(SHAPE, np.nan), np.zeros(SHAPE)
    OPS.average_pool(x, window, out=y, count_padding=count_padding)
    OPS.average_pool_gradient(dy, window, out=dx, count_padding=count_padding)
    for p, q, rows, cols, size in windows(window, outs):
        seen = x[:, :, rows, cols]
        divisor = size if count_padding else seen[0, 0].size
        np.testing.assert_allclose(y[:, :, p, q], seen.sum(axis=(2, 3)) / divisor, rtol=1e-12, atol=1e-12)
        want[:, :, rows, cols] += dy[:, :, p, q, None, None] / divisor
    np.testing.assert_allclose(dx, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["plain", "overhang", "gaps", "whole"])
def test_stochastic_pool_draws_by_the_running_sum(name):
    window, outs = CASES[name]
    rng = np.random.default_rng(0)
    x, u = rng.random(SHAPE), rng.random((*SHAPE[:2], *outs))
    y, index = np.empty(u.shape), np.empty(u.shape, np.int32)
    OPS.stochastic_pool(x, window, u, out=y, index=index)
    mean = np.empty(u.shape)
    OPS.weighted_pool(x, window, out=mean)
    for p, q, rows, cols, _ in windows(window, outs):
        for n, c in np.ndindex(*SHAPE[:2]):
            seen = x[n, c, rows, cols]
            first = np.argmax(seen.reshape(-1).cumsum() >= u[n, c, p, q] * seen.sum())
            i, j = np.unravel_index(first, seen.shape)
            assert y[n, c, p, q] == seen[i, j]
            assert index[n, c, p, q] == (rows.start + i) * SHAPE[3] + cols.start + j
            np.testing.assert_allclose(mean[n, c, p, q], (seen**2).sum() / seen.sum())


def test_weighted_pool_of_zeros_is_zero():
    y = np.full((1, 1, 1, 1), np.nan)
    OPS.weighted_pool(np.zeros((1, 1, 2, 2)), Window.make((2, 2)), out=y)
    assert y.item() == 0
