"""Kernels on channels-last blobs agree with NumPy's on plain ones, in every kind of number, by packs and one by one."""

import numpy as np
import pytest
from cpu_kernels import CpuKernels, needs_compiler

from layerforge.backends.cupy.channels_last import ChannelsLastKernels, keep_statistics, norm_factors
from layerforge.backends.cupy.layout import KINDS, cast_numbers
from layerforge.backends.numpy import NumpyOps
from layerforge.core.window import Window

OPS = NumpyOps()
GUARD = 64
RTOL = {"FP32": 1e-5, "BF16": 2**-7, "FP16": 2**-10}


def packed(x, kind):
    """(N, C, ...) float32 → channels last between guards, and the values it can hold, plain."""
    last = np.ascontiguousarray(np.moveaxis(x.reshape(*x.shape[:2], -1), 1, 2), np.float32)
    dtype = np.dtype(KINDS[kind][1])
    room = np.full(last.size * dtype.itemsize + 2 * GUARD, 0xA5, np.uint8)
    array = room[GUARD:-GUARD].view(dtype)
    if kind == "BF16":
        bits = last.view(np.uint32).reshape(-1)
        array[...] = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    else:
        array[...] = last.reshape(-1)
    return array


def plain(array, shape, kind):
    """The reverse; fails where a guard was written."""
    room = array.base if array.base.dtype == np.uint8 else array.base.base
    assert (room[:GUARD] == 0xA5).all() and (room[-GUARD:] == 0xA5).all(), "wrote beside an array"
    values = (array.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else array.astype(np.float32)
    return np.ascontiguousarray(np.moveaxis(values.reshape(shape[0], -1, shape[1]), 2, 1)).reshape(shape)


class Device:
    def __init__(self, kind):
        self.kind, self.launcher = kind, CpuKernels()
        self.last = ChannelsLastKernels(self.launcher, kind)
        self.rng = np.random.default_rng(4)

    def draw(self, *shape):
        """A plain array of numbers that the kind holds, and the same channels last."""
        array = packed(self.rng.standard_normal(shape).astype(np.float32), self.kind)
        return plain(array, shape, self.kind), array

    def check(self, array, want):
        np.testing.assert_allclose(plain(array, want.shape, self.kind), want, rtol=RTOL[self.kind], atol=1e-5)


@pytest.fixture(params=["FP32", "BF16", "FP16"])
def device(request):
    needs_compiler()
    return Device(request.param)


WINDOWS = [
    Window.make((3, 3), (2, 2), (0, 0)),
    Window.make((3, 2), (2, 1), (1, 1)),
    Window.make((7, 6), (1, 1), (0, 0)),
]
SHAPES = [(2, 8, 7, 6), (2, 3, 7, 6)]


def outputs(window, shape):
    return shape[:2] + tuple(
        -(-(n + 2 * p - k) // s) + 1 for n, p, k, s in zip(shape[2:], window.pad, window.kernel, window.stride)
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("window", WINDOWS, ids=["overlapping", "padded", "global"])
def test_maxima_and_their_gradient(device, shape, window):
    (x, x_last), outs = device.draw(*shape), outputs(window, shape)
    y, index = np.empty(outs, np.float32), np.empty(outs, np.int32)
    OPS.max_pool(x, window, out=y, index=index)
    y_last, index_last = packed(np.zeros(outs), device.kind), np.empty(y.size, np.int32)
    device.last.max_pool(x_last, y_last, index_last, window, shape, outs)
    device.check(y_last, y)
    np.testing.assert_array_equal(np.moveaxis(index_last.reshape(outs[0], -1, outs[1]), 2, 1).reshape(outs), index)
    (dy, dy_last), dx = device.draw(*outs), np.empty(shape, np.float32)
    OPS.max_pool_gradient(dy, index, window, out=dx)
    dx_last = packed(np.zeros(shape), device.kind)
    device.last.max_pool_gradient(dy_last, index_last, dx_last, window, shape, outs)
    device.check(dx_last, dx)


@pytest.mark.parametrize("count_padding", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("window", WINDOWS, ids=["overlapping", "padded", "global"])
def test_averages_and_their_gradient(device, shape, window, count_padding):
    (x, x_last), outs = device.draw(*shape), outputs(window, shape)
    y, y_last = np.empty(outs, np.float32), packed(np.zeros(outs), device.kind)
    OPS.average_pool(x, window, out=y, count_padding=count_padding)
    device.last.average_pool(x_last, y_last, window, shape, outs, count_padding)
    device.check(y_last, y)
    (dy, dy_last), dx = device.draw(*outs), np.empty(shape, np.float32)
    OPS.average_pool_gradient(dy, window, out=dx, count_padding=count_padding)
    dx_last = packed(np.zeros(shape), device.kind)
    device.last.average_pool_gradient(dy_last, dx_last, window, shape, outs, count_padding)
    device.check(dx_last, dx)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 2, 4, 5, 8])
@pytest.mark.parametrize("slope", [None, 0.0, 0.25])
def test_sums_of_any_number_of_terms(device, shape, count, slope):
    terms = [(*device.draw(*shape), (-0.5) ** i) for i in range(count)]
    want = sum(factor * x for x, _, factor in terms)
    if slope is not None:
        want = np.where(want > 0, want, slope * want)
    out = packed(np.zeros(shape), device.kind)
    device.last.sum([(x_last, factor) for _, x_last, factor in terms], out, slope)
    atol = 1e-5 if device.kind == "FP32" else 4 * RTOL[device.kind]  # what is summed up in turns is rounded in turns
    np.testing.assert_allclose(plain(out, shape, device.kind), want, rtol=RTOL[device.kind], atol=atol)


@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_gradient_of_relu_follows_its_output(device, slope):
    (y, y_last), (dy, dy_last) = device.draw(2, 5, 7, 1), device.draw(2, 5, 7, 1)
    y_last[:2] = 0
    y = plain(y_last, y.shape, device.kind)
    device.last.relu_gradient(dy_last, y_last, dy_last, slope)
    device.check(dy_last, np.where(y > 0, dy, slope * dy))


@pytest.mark.parametrize("sizes", [(8, 16), (3, 8, 4)])
def test_channels_are_joined_and_taken_apart(device, sizes):
    parts = [device.draw(2, n, 3, 2) for n in sizes]
    total, first = sum(sizes), 0
    whole = packed(np.zeros((2, total, 3, 2)), device.kind)
    for (_, x_last), n in zip(parts, sizes):
        device.last.copy_channels(x_last, whole, 12, n, (n, 0), (total, first))
        first += n
    device.check(whole, np.concatenate([x for x, _ in parts], axis=1))
    back = packed(np.zeros((2, sizes[-1], 3, 2)), device.kind)
    device.last.copy_channels(whole, back, 12, sizes[-1], (total, total - sizes[-1]), (sizes[-1], 0))
    device.check(back, parts[-1][0])


def test_dropout_drops_what_it_drops_in_plain_order(device):
    (x, x_last), mask = device.draw(2, 5, 3, 2), device.rng.random((2, 5, 3, 2)) < 0.5
    y_last = packed(np.zeros(x.shape), device.kind)
    device.last.dropout(x_last, mask, y_last, 5, 6, 2.0)
    device.check(y_last, x * mask * 2)


@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_local_response_normalisation_and_its_gradient(device, beta):
    how, shape = {"size": 3, "alpha": 0.4, "beta": beta}, (2, 7, 2, 3)
    x, x_last = device.draw(*shape)
    y, scale, y_last, scale_last = np.empty_like(x), np.empty_like(x), packed(np.zeros(shape), device.kind), np.empty(
        x.size, np.float32)
    OPS.lrn(x, **how, k=1.5, out=y, scale=scale)
    device.last.lrn(x_last, y_last, scale_last, 7, **how, k=1.5)
    device.check(y_last, y)
    (dy, dy_last), dx, dx_last = device.draw(*shape), np.empty_like(x), packed(np.zeros(shape), device.kind)
    OPS.lrn_gradient(dy, x, scale, **how, out=dx)
    device.last.lrn_gradient(dy_last, x_last, scale_last, dx_last, 7, **how)
    device.check(dx_last, dx)


@pytest.mark.parametrize("add", [False, True])
def test_numbers_change_their_kind(device, add):
    x, x_last = device.draw(1, 1, 40)
    y = np.ones(40, np.float32)
    cast_numbers(device.launcher, x_last, device.kind, y, "FP32", add)
    np.testing.assert_allclose(y, x.reshape(-1) + add)


def test_statistics_are_kept_as_caffe_keeps_them():
    needs_compiler()
    rng = np.random.default_rng(1)
    mean, variance = rng.standard_normal(6).astype(np.float32), rng.random(6) + 0.1
    inv_std = (1 / np.sqrt(variance + 1e-3)).astype(np.float32)
    sums = [rng.random(n).astype(np.float32) for n in (6, 6, 1)]
    want = [0.9 * old + new for old, new in zip(sums, (mean, variance * 1.25, 1))]
    keep_statistics(CpuKernels(), mean, inv_std, sums, fraction=0.9, eps=1e-3, correction=1.25)
    for got, right in zip(sums, want):
        np.testing.assert_allclose(got, right, rtol=1e-5)


@pytest.mark.parametrize("without", ["", "sums", "gamma", "beta", "bias"])
def test_normalisation_becomes_a_factor_and_an_offset(without):
    needs_compiler()
    rng = np.random.default_rng(1)
    means, variances, gamma, beta, bias = (rng.random(6).astype(np.float32) + 0.5 for _ in range(5))
    weight, x = np.array([2.5], np.float32), rng.standard_normal(6)
    given = {"sums": (means, variances, weight), "gamma": gamma, "beta": beta, "bias": bias}
    given[without] = None
    factor, offset = np.empty(6, np.float32), np.empty(6, np.float32)
    norm_factors(CpuKernels(), given["sums"], given["gamma"], given["beta"], given["bias"], factor, offset, 1e-2)
    y = x + (0 if without == "bias" else bias)
    if without != "sums":
        y = (y - means / 2.5) / np.sqrt(variances / 2.5 + 1e-2)
    y = y * (1 if without == "gamma" else gamma) + (0 if without == "beta" else beta)
    np.testing.assert_allclose(factor * x + offset, y, rtol=1e-5, atol=1e-6)


def test_statistics_of_nothing_are_zero():
    needs_compiler()
    sums = [np.zeros(n, np.float32) for n in (2, 2, 1)]
    factor, offset = np.empty(2, np.float32), np.empty(2, np.float32)
    norm_factors(CpuKernels(), sums, None, None, None, factor, offset, 0.25)
    assert factor.tolist() == [2, 2] and offset.tolist() == [0, 0]
