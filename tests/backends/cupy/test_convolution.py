"""Convolution of the CuPy backend against NumPy's, over windows of every kind."""

import numpy as np
import pytest

from layerforge.core.errors import DeviceError
from layerforge.core.window import Window


def compare(both, rng, x_shape, outputs, window, group):
    """All three products."""
    x, w = both.draw(rng, *x_shape), both.draw(rng, outputs, x_shape[1] // group, *window.kernel)
    y_shape = (x_shape[0], outputs, *window.out_shape(x_shape[2:]))
    count = max(ops.conv_scratch(x_shape, outputs, window, group) for ops in (both.numpy, both.ops))
    scratch = both.on_device(np.full(count, np.nan, both.real))

    def run(method, *arguments, **named):
        device = [both.on_device(a) for a in arguments], {k: both.on_device(v) for k, v in named.items()}
        getattr(both.numpy, method)(*arguments, window, group=group, **named, scratch=np.full(count, np.nan, both.real))
        getattr(both.ops, method)(*device[0], window, group=group, **device[1], scratch=scratch)
        want, got = next((named[k], device[1][k]) for k in ("out", "acc") if k in named)
        rtol = 1e-4 if both.real == np.float32 else 1e-11
        largest = max(1.0, float(np.abs(want).max(initial=0)))
        np.testing.assert_allclose(both.on_host(got), want, rtol=rtol, atol=rtol * largest)

    dy = both.draw(rng, *y_shape)
    run("conv", x, w, out=np.empty(y_shape, both.real), bias=both.draw(rng, outputs))
    run("conv", x, w, out=np.empty(y_shape, both.real))
    run("conv_data_gradient", dy, w, out=np.empty(x_shape, both.real))
    run("conv_weight_gradient", x, dy, acc=both.draw(rng, *w.shape))
    both.check_guards("conv")


@pytest.mark.parametrize("group", [1, 2, 3])
def test_random_windows_agree(both, group):
    rng = np.random.default_rng(group)
    for _ in range(6):
        kernel = rng.integers(1, 5, 2).tolist()
        stride, pad, dilation = (rng.integers(low, low + n, 2).tolist() for low, n in ((1, 3), (0, 3), (1, 2)))
        window = Window.make(kernel, stride, pad, dilation)
        size = rng.integers(8, 13, 2).tolist()
        compare(both, rng, (2, group * int(rng.integers(5, 9)), *size), group * int(rng.integers(5, 9)), window, group)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_windows_agree(both, multiplier):
    rng = np.random.default_rng(4)
    for stride in (1, 2):
        compare(both, rng, (2, 6, 7, 9), 6 * multiplier, Window.make((3, 3), stride, 1), 6)


@pytest.mark.parametrize("axes", [1, 3])
def test_any_number_of_axes_up_to_three(both, axes):
    rng = np.random.default_rng(5)
    window = Window.make((3, 2, 2)[:axes], 2, 1)
    compare(both, rng, (2, 5, *(7, 6, 5)[:axes]), 6, window, 1)


def test_more_channels_than_a_tile(both):
    compare(both, np.random.default_rng(6), (1, 70, 3, 3), 75, Window.make((1, 1)), 1)


def test_long_weight_gradient_is_cut_into_slices(both):
    assert both.ops.conv_scratch((3, 5, 40, 40), 6, Window.make((3, 3), 1, 1)) == 4 * 6 * 5 * 9
    compare(both, np.random.default_rng(7), (3, 5, 40, 40), 6, Window.make((3, 3), 1, 1), 1)


def test_four_axes_are_refused(both):
    with pytest.raises(DeviceError, match="at most 3 spatial axes"):
        both.ops.conv_scratch((1, 1, 3, 3, 3, 3), 1, Window.make((1,) * 4))


def test_empty_batch_is_left_alone(both):
    x, y, w = np.empty((0, 5, 4, 4), both.real), np.empty((0, 6, 4, 4), both.real), np.ones((6, 5, 1, 1), both.real)
    window, scratch = Window.make((1, 1)), np.empty(0, both.real)
    both.compare("conv", x, w, window, out=y, scratch=scratch)
    both.compare("conv_data_gradient", y, w, window, out=x, scratch=scratch)
    both.compare("conv_weight_gradient", x, y, window, acc=w, scratch=scratch)


@pytest.mark.parametrize(
    "window",
    [Window.make((3, 3), 2, 1), Window.make((2, 3), 1, (0, 2), 2), Window.make((1, 1)), Window.make((5, 1), 3, (2, 0))],
    ids=["3x3", "dilated", "1x1", "5x1"],
)
def test_columns_and_their_transpose_agree(both, window):
    rng = np.random.default_rng(8)
    x = both.draw(rng, 2, 3, 7, 8)
    col = np.empty((2, 3 * window.count, *window.out_shape((7, 8))), both.real)
    both.compare("im2col", x, window, out=col)
    both.compare("col2im", both.draw(rng, *col.shape), window, out=x)
