"""Pooling against windows taken one by one, and Caffe's rules for sizes."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.core.window import Window
from layerforge.layers.pooling import Pooling, pooled_shape
from layerforge.netdef.types import Phase
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig


def pooled(x, kernel, stride, pad, outs, function):
    """function(values inside the plane, size of the window cut at the padded plane) for every window."""
    height, width = x.shape[2:]
    y = np.zeros((*x.shape[:2], *outs))
    for p, q in np.ndindex(*outs):
        top, left = p * stride - pad, q * stride - pad
        bottom, right = min(top + kernel, height + pad), min(left + kernel, width + pad)
        seen = x[:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
        y[:, :, p, q] = function(seen, (bottom - top) * (right - left))
    return y


class TestPooling(LayerTest):
    layer = Pooling
    cases = [
        dict(pool="MAX", kernel_size=2, stride=2),
        dict(pool="MAX", kernel_size=3, stride=2, pad=1),
        dict(pool="MAX", kernel_size=3, stride=2, round_mode="FLOOR"),
        dict(pool="AVE", kernel_size=3, stride=2, pad=1),
        dict(pool="AVE", kernel_size=2, stride=2),
        dict(pool="AVE", kernel_size=3, stride=2, ceil_mode=False),
        dict(pool="AVE_EXC_PAD", kernel_size=3, stride=2, pad=1),
    ]

    def inputs(self, rng):
        return [rng.permutation(2 * 2 * 6 * 5).reshape(2, 2, 6, 5) / 10]  # no ties

    def expected(self, x, pool, kernel_size, stride=1, pad=0, round_mode=None, ceil_mode=True):
        round_up = round_mode != "FLOOR" and ceil_mode
        outs = [int((np.ceil if round_up else np.floor)((n + 2 * pad - kernel_size) / stride)) + 1 for n in x.shape[2:]]
        outs = [o - (pad > 0 and (o - 1) * stride >= n + pad) for o, n in zip(outs, x.shape[2:])]
        functions = {
            "MAX": lambda seen, _: seen.max(axis=(2, 3)),
            "AVE": lambda seen, size: seen.sum(axis=(2, 3)) / size,
            "AVE_EXC_PAD": lambda seen, _: seen.mean(axis=(2, 3)),
        }
        return pooled(x, kernel_size, stride, pad, outs, functions[pool])


class TestPoolingInTest(TestPooling):
    phase = Phase.TEST


class TestGlobalPooling(LayerTest):
    layer = Pooling
    cases = [dict(pool="MAX", global_pooling=True), dict(pool="AVE", global_pooling=True)]

    def inputs(self, rng):
        return [rng.permutation(2 * 3 * 4 * 5).reshape(2, 3, 4, 5) / 10]

    def expected(self, x, pool, global_pooling):
        return (x.max if pool == "MAX" else x.mean)(axis=(2, 3), keepdims=True)


class TestPoolingWithMask(LayerTest):
    layer, tops = Pooling, 2
    cases = [dict(kernel_size=2, stride=2)]

    def inputs(self, rng):
        return [rng.permutation(2 * 1 * 4 * 6).reshape(2, 1, 4, 6) / 10]

    def expected(self, x, **_):
        windows = x.reshape(2, 1, 2, 2, 3, 2).transpose(0, 1, 2, 4, 3, 5).reshape(2, 1, 2, 3, 4)
        row, col = np.divmod(windows.argmax(axis=4), 2)
        places = (np.arange(2)[:, None] * 2 + row) * 6 + np.arange(3) * 2 + col
        return windows.max(axis=4), places


class TestStochasticPooling(LayerTest):
    layer = Pooling
    cases = [dict(pool="STOCHASTIC", kernel_size=2, stride=2)]

    def inputs(self, rng):
        return [rng.random((2, 2, 5, 4)) + 0.1]

    def expected(self, x, **_):
        probe = Rig(Pooling, self.cases[0], [x], dtype=np.float64)
        probe.forward()
        bits = np.empty((2, 2, 3, 2), np.uint32)
        probe.layer.ops.random_bits(probe.layer.stream.key, 0, bits)
        uniform, y = (bits >> 8) * 2.0**-24, np.empty(bits.shape)
        for n, c, p, q in np.ndindex(*y.shape):
            seen = x[n, c, 2 * p : 2 * p + 2, 2 * q : 2 * q + 2].reshape(-1)
            y[n, c, p, q] = seen[np.argmax(seen.cumsum() >= uniform[n, c, p, q] * seen.sum())]
        return y


def test_stochastic_pooling_gives_the_expectation_in_test():
    x = np.random.default_rng(0).random((1, 2, 4, 4))
    made = Rig(Pooling, dict(pool="STOCHASTIC", kernel_size=2, stride=2), [x], phase=Phase.TEST, dtype=np.float64)
    want = pooled(x, 2, 2, 0, (2, 2), lambda seen, _: (seen**2).sum(axis=(2, 3)) / seen.sum(axis=(2, 3)))
    np.testing.assert_allclose(made.forward()[0], want)


def test_stochastic_pooling_draws_in_proportion():
    x = np.tile(np.array([1.0, 2.0, 3.0, 4.0]).reshape(2, 2), (1, 1, 60, 60))
    y = Rig(Pooling, dict(pool="STOCHASTIC", kernel_size=2, stride=2), [x]).forward()[0]
    shares = [(y == value).mean() for value in (1, 2, 3, 4)]
    np.testing.assert_allclose(shares, [0.1, 0.2, 0.3, 0.4], atol=0.03)


@pytest.mark.parametrize("window, sizes, up, down", [
    (Window.make((2, 2), 2), (7, 8), (4, 4), (3, 4)),
    (Window.make((3, 3), 2), (7, 8), (3, 4), (3, 3)),
    (Window.make((2, 2), 2, 1), (6, 6), (4, 4), (4, 4)),
    (Window.make((3, 3), 3, 1), (5, 6), (2, 3), (2, 2)),
    (Window.make((2, 2), 2, 1), (5, 5), (3, 3), (3, 3)),  # 4 but for the last window, which starts in the padding
])
def test_pooling_rounds_sizes_as_caffe_does(window, sizes, up, down):
    assert pooled_shape(window, sizes, ceil=True) == up
    assert pooled_shape(window, sizes, ceil=False) == down


def test_round_mode_goes_before_ceil_mode():
    made = Rig(Pooling, dict(kernel_size=3, stride=2, round_mode="FLOOR", ceil_mode=True), [np.zeros((1, 1, 7, 8))])
    assert made.forward()[0].shape == (1, 1, 3, 3)


@pytest.mark.parametrize("case", [dict(round_mode="FLOOR"), dict(ceil_mode=False), dict(torch_pooling=True)])
def test_three_fields_round_down(case):
    made = Rig(Pooling, dict(kernel_size=2, stride=2, **case), [np.zeros((1, 1, 7, 8))])
    assert made.forward()[0].shape == (1, 1, 3, 4)


@pytest.mark.parametrize("case, words", [
    (dict(), "kernel_size is missing"),
    (dict(kernel_size=2, kernel_h=2, kernel_w=2), "kernel_size and kernel_h are both given"),
    (dict(kernel_h=2), "kernel_h is given without its partner"),
    (dict(kernel_size=2, pad_h=1), "pad_h is given without its partner"),
    (dict(kernel_size=2, pad=2), "must be smaller than the window"),
    (dict(kernel_size=9), "does not fit into (4, 5)"),
    (dict(global_pooling=True, kernel_size=2), "covers the plane already"),
    (dict(global_pooling=True, stride=2), "takes no pad and no stride"),
    (dict(pool="STOCHASTIC", kernel_size=2, pad=1), "STOCHASTIC takes no padding"),
    (dict(pool="MEDIAN", kernel_size=2), "pool: MEDIAN, must be one of MAX"),
])
def test_a_wrong_window_is_refused(case, words):
    with pytest.raises(LayerForgeError) as caught:
        Rig(Pooling, case, [np.zeros((1, 1, 4, 5))])
    assert words in str(caught.value)


def test_only_max_has_a_mask():
    with pytest.raises(LayerForgeError, match="pool: AVE has one top"):
        Rig(Pooling, dict(pool="AVE", kernel_size=2), [np.zeros((1, 1, 4, 5))], tops=2)


def test_pooling_needs_four_axes():
    with pytest.raises(LayerForgeError, match="needs 4 axes"):
        Rig(Pooling, dict(kernel_size=2), [np.zeros((1, 4, 5))])
