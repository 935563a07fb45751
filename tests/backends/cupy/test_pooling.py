"""Pooling of the CuPy backend against NumPy's, over windows of every kind."""

import numpy as np
import pytest

from layerforge.core.window import Window


def planes(rng, window, real, rounds_up):
    """A random x that the window fits, and y of Caffe's size: rounded up or down, no window beyond the padding."""
    while True:
        shape = (2, 3, *rng.integers(1, 14, 2).tolist())
        if window.fits(shape[2:]):
            break
    sizes = []
    for size, kernel, stride, pad, pad_end in zip(
        shape[2:], window.kernel, window.stride, window.pad, window.pad_end, strict=True
    ):
        room = size + pad + pad_end - kernel
        outputs = (-(-room // stride) if rounds_up else room // stride) + 1
        if rounds_up and (outputs - 1) * stride >= size + pad:
            outputs -= 1
        sizes.append(outputs)
    return rng.standard_normal(shape).astype(real), np.empty((*shape[:2], *sizes), real)


def windows(rng, count):
    """Random windows, some with padding, some with gaps between them, some not square."""
    for _ in range(count):
        kernel = rng.integers(1, 6, 2).tolist()
        pad = [int(rng.integers(0, k)) for k in kernel]
        yield Window.make(kernel, rng.integers(1, 5, 2).tolist(), pad)


@pytest.mark.parametrize("rounds_up", [True, False])
def test_maximum_its_place_and_its_gradient_agree(both, rounds_up):
    rng = np.random.default_rng(1)
    for window in windows(rng, 25):
        x, y = planes(rng, window, both.real, rounds_up)
        x = np.round(2 * x)  # equal values, of which the first wins
        index = np.empty(y.shape, np.int32)
        both.compare("max_pool", x, window, out=y, index=index)
        both.compare("max_pool_gradient", both.draw(rng, *y.shape), index, window, out=np.empty_like(x))


@pytest.mark.parametrize("rounds_up", [True, False])
@pytest.mark.parametrize("count_padding", [True, False])
def test_average_and_its_gradient_agree(both, rounds_up, count_padding):
    rng = np.random.default_rng(2)
    for window in windows(rng, 25):
        x, y = planes(rng, window, both.real, rounds_up)
        both.compare("average_pool", x, window, out=y, count_padding=count_padding)
        dy = both.draw(rng, *y.shape)
        both.compare("average_pool_gradient", dy, window, out=np.empty_like(x), count_padding=count_padding)


def test_stochastic_and_weighted_pooling_agree(both):
    rng = np.random.default_rng(3)
    for window in windows(rng, 25):
        window = Window.make(window.kernel, window.stride)
        x, y = planes(rng, window, both.real, rounds_up=False)
        x = np.floor(np.abs(3 * x))  # whole numbers, whose sums are exact in any order
        both.compare("weighted_pool", x, window, out=y)
        uniform = rng.random(y.shape).astype(both.real)
        both.compare("stochastic_pool", x, window, uniform, out=y, index=np.empty(y.shape, np.int32))


def test_whole_plane_is_one_window(both):
    rng = np.random.default_rng(4)
    window = Window.make((7, 9))
    both.compare("average_pool", both.draw(rng, 2, 3, 7, 9), window, out=np.empty((2, 3, 1, 1), both.real))


def test_maximum_without_its_place(both):
    rng = np.random.default_rng(5)
    both.compare("max_pool", both.draw(rng, 2, 3, 8, 8), Window.make((2, 2), 2), out=np.empty((2, 3, 4, 4), both.real))


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_values_that_never_win_leave_the_lowest_number_and_no_place(both, value):
    x = np.full((1, 1, 4, 4), value, both.real)
    x[0, 0, 0, 0] = 3
    y, index = np.empty((1, 1, 2, 2), both.real), np.empty((1, 1, 2, 2), np.int32)
    both.compare("max_pool", x, Window.make((2, 2), 2), out=y, index=index)
    assert index.reshape(-1).tolist() == [0, -1, -1, -1]
    assert y[0, 0, 1, 1] == np.finfo(both.real).min
    both.compare("max_pool_gradient", np.ones_like(y), index, Window.make((2, 2), 2), out=np.empty_like(x))


def test_empty_batch_is_left_alone(both):
    x, y = np.empty((0, 3, 4, 4), both.real), np.empty((0, 3, 2, 2), both.real)
    both.compare("max_pool", x, Window.make((2, 2), 2), out=y, index=np.empty(y.shape, np.int32))
    both.compare("average_pool", x, Window.make((2, 2), 2), out=y)
