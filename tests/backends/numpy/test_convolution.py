"""Convolution kernels of NumPy against sums written as loops."""

import itertools

import numpy as np
import pytest

from layerforge.backends.numpy import NumpyOps
from layerforge.backends.numpy import convolution as implementation
from layerforge.core.window import Window

OPS = NumpyOps()

CASES = {  # name: (samples, channels, sizes, outputs, group, window)
    "plain": (2, 3, (6, 5), 4, 1, Window.make((3, 2))),
    "stride_and_pad": (3, 2, (7, 6), 3, 1, Window.make((3, 3), (2, 3), (1, 2))),
    "dilation": (2, 2, (9, 8), 2, 1, Window.make((3, 2), 1, 1, (2, 3))),
    "stride_and_dilation": (1, 2, (9, 8), 2, 1, Window.make((3, 2), (2, 1), (2, 0), (2, 3))),
    "groups": (2, 4, (5, 5), 6, 2, Window.make((3, 3), 1, 1)),
    "strided_groups": (2, 4, (5, 5), 6, 2, Window.make((3, 3), 2, 1)),
    "depthwise": (2, 3, (5, 6), 3, 3, Window.make((3, 3), 2, 1)),
    "depthwise_multiplied": (2, 3, (5, 6), 6, 3, Window.make((3, 3), 1, 1)),
    "pointwise": (3, 4, (3, 2), 5, 1, Window.make((1, 1))),
    "pointwise_groups": (3, 4, (3, 2), 6, 2, Window.make((1, 1))),
    "strided_pointwise": (2, 3, (5, 4), 2, 1, Window.make((1, 1), 2)),
    "padded_pointwise": (2, 3, (3, 4), 2, 1, Window.make((1, 1), 1, 1)),
    "uneven_padding": (2, 2, (6, 7), 2, 1, Window.make((3, 3), 2, (0, 1), 1, (1, 1))),
    "uneven_padding_without_stride": (2, 2, (6, 7), 2, 1, Window.make((3, 4), 1, (0, 1), 1, (1, 2))),
    "padding_beyond_the_kernel": (1, 2, (4, 4), 2, 1, Window.make((2, 2), 1, 3)),
    "many_outputs": (2, 1, (5, 5), 5, 1, Window.make((3, 3), 1, 1)),
    "one_axis": (2, 3, (8,), 2, 1, Window.make((3,), 2, 1)),
    "three_axes": (2, 2, (4, 5, 3), 3, 1, Window.make((2, 3, 2), (1, 2, 1), (1, 0, 1))),
    "no_axes": (4, 3, (), 5, 1, Window.make(())),
}


def places(window, sizes):
    """(kernel position, output, input place or None when it is padding), all of them."""
    for k in itertools.product(*map(range, window.kernel)):
        for p in itertools.product(*map(range, window.out_shape(sizes))):
            q = tuple(s * a + d * b - pad for a, b, s, d, pad in zip(p, k, window.stride, window.dilation, window.pad))
            yield k, p, (q if all(0 <= a < n for a, n in zip(q, sizes)) else None)


def reference(x, w, dy, group, window):
    """y, dx, dw by the definition."""
    y, dx, dw = np.zeros(dy.shape), np.zeros(x.shape), np.zeros(w.shape)
    for o, c in itertools.product(range(w.shape[0]), range(w.shape[1])):
        channel = o // (w.shape[0] // group) * w.shape[1] + c
        for k, p, q in places(window, x.shape[2:]):
            if q is None:
                continue
            at, here = (slice(None), channel, *q), (slice(None), o, *p)
            y[here] += w[(o, c, *k)] * x[at]
            dx[at] += w[(o, c, *k)] * dy[here]
            dw[(o, c, *k)] += (x[at] * dy[here]).sum()
    return y, dx, dw


def make(name, dtype=np.float64):
    n, c, sizes, o, group, window = CASES[name]
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(n, c, *sizes)), rng.normal(size=(o, c // group, *window.kernel))
    dy = rng.normal(size=(n, o, *window.out_shape(sizes)))
    scratch = np.full(OPS.conv_scratch(x.shape, o, window, group), np.nan, dtype)
    return x.astype(dtype), w.astype(dtype), dy.astype(dtype), group, window, scratch


@pytest.fixture(params=["few positions", "few positions, one sample", "many positions", "many positions, one line"])
def layout(request, monkeypatch):
    """Both layouts of the columns, whole and in the smallest pieces."""
    monkeypatch.setattr(implementation, "FEW_POSITIONS", 512 if "few" in request.param else 0)
    if "one" in request.param:
        monkeypatch.setattr(implementation, "COLUMN_BYTES", 1)


@pytest.mark.parametrize("name", CASES)
def test_results_equal_the_definition(name, layout):
    x, w, dy, group, window, scratch = make(name)
    y, dx, dw = reference(x, w, dy, group, window)
    out, down, acc = np.full(dy.shape, np.nan), np.full(x.shape, np.nan), np.ones(w.shape)
    OPS.conv(x, w, window, group=group, out=out, scratch=scratch)
    OPS.conv_data_gradient(dy, w, window, group=group, out=down, scratch=scratch)
    OPS.conv_weight_gradient(x, dy, window, group=group, acc=acc, scratch=scratch)
    np.testing.assert_allclose(out, y, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(down, dx, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(acc, 1 + dw, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["stride_and_pad", "pointwise", "no_axes"])
def test_the_bias_is_added_to_every_position(name, layout):
    x, w, dy, group, window, scratch = make(name)
    bias, plain, out = np.arange(1.0, 1 + len(w)), np.empty(dy.shape), np.empty(dy.shape)
    OPS.conv(x, w, window, group=group, out=plain, scratch=scratch)
    OPS.conv(x, w, window, group=group, bias=bias, out=out, scratch=scratch)
    np.testing.assert_allclose(out, plain + bias.reshape(-1, *(1,) * (plain.ndim - 2)), rtol=1e-12)


def test_float32_stays_float32():
    x, w, dy, group, window, scratch = make("stride_and_pad", np.float32)
    out = np.empty(dy.shape, np.float32)
    OPS.conv(x, w, window, group=group, out=out, scratch=scratch)
    np.testing.assert_allclose(out, reference(x, w, dy, group, window)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["stride_and_pad", "dilation", "three_axes", "one_axis", "uneven_padding"])
def test_im2col_and_col2im_equal_the_definition(name):
    x, _, _, _, window, _ = make(name)
    outs = window.out_shape(x.shape[2:])
    want = np.zeros((*x.shape[:2], *window.kernel, *outs))
    back = np.zeros(x.shape)
    col = np.random.default_rng(1).normal(size=want.shape)
    for k, p, q in places(window, x.shape[2:]):
        if q is not None:
            want[(slice(None), slice(None), *k, *p)] = x[(slice(None), slice(None), *q)]
            back[(slice(None), slice(None), *q)] += col[(slice(None), slice(None), *k, *p)]
    shape = (x.shape[0], x.shape[1] * window.count, *outs)
    got, down = np.full(shape, np.nan), np.full(x.shape, np.nan)
    OPS.im2col(x, window, out=got)
    OPS.col2im(col.reshape(shape), window, out=down)
    np.testing.assert_array_equal(got, want.reshape(shape))
    np.testing.assert_allclose(down, back, rtol=1e-12, atol=1e-12)
