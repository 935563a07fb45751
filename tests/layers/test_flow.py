"""Correlation and FlowWarp against their formulas."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.flow import ChannelNorm, Correlation, FlowWarp
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig


class TestCorrelation(LayerTest):
    layer = Correlation
    cases = [
        dict(kernel_size=1, max_displacement=2, pad=2),
        dict(kernel_size=3, max_displacement=2, pad=3, stride_1=2, stride_2=2),
        dict(kernel_size=1, max_displacement=1, pad=1, correlation_type="SUBTRACT"),
    ]

    def inputs(self, rng):
        return [rng.normal(size=(2, 2, 4, 5)), rng.normal(size=(2, 2, 4, 5))]

    def expected(self, a, b, kernel_size, max_displacement, pad, stride_1=1, stride_2=1, correlation_type="MULTIPLY"):
        a, b = (np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)]) for x in (a, b))
        moves = range(-(max_displacement // stride_2) * stride_2, max_displacement + 1, stride_2)
        outs = [-(-(n - 2 * max_displacement - kernel_size + 1) // stride_1) for n in a.shape[2:]]
        y = np.zeros((2, len(moves) ** 2, *outs))
        for p, q in np.ndindex(*outs):
            i, j = p * stride_1 + max_displacement, q * stride_1 + max_displacement
            for index, (v, u) in enumerate((v, u) for v in moves for u in moves):
                here = a[:, :, i : i + kernel_size, j : j + kernel_size]
                there = b[:, :, i + v : i + v + kernel_size, j + u : j + u + kernel_size]
                both = np.abs(here - there) if correlation_type == "SUBTRACT" else here * there
                y[:, index, p, q] = both.mean(axis=(1, 2, 3))
        return y


class TestFlowWarp(LayerTest):
    layer = FlowWarp
    cases = [dict()]

    def inputs(self, rng):
        return [rng.normal(size=(2, 2, 4, 5)), rng.integers(-3, 4, (2, 2, 4, 5)) + rng.uniform(0.1, 0.9, (2, 2, 4, 5))]

    def expected(self, x, flow):
        y = np.zeros(x.shape)
        for n, p, q in np.ndindex(2, 4, 5):
            row, column = p + flow[n, 1, p, q], q + flow[n, 0, p, q]
            if not (0 <= row < 4 and 0 <= column < 5):
                continue
            i, j = int(row), int(column)
            for k, down in ((i, 1 - row + i), (min(i + 1, 3), row - i)):
                for m, across in ((j, 1 - column + j), (min(j + 1, 4), column - j)):
                    y[n, :, p, q] += down * across * x[n, :, k, m]
        return y


def test_places_outside_may_give_nan():
    made = Rig(FlowWarp, dict(fill_value="NOT_A_NUMBER"), [np.ones((1, 1, 2, 2)), np.full((1, 2, 2, 2), 5.0)])
    assert np.isnan(made.forward()[0]).all()


@pytest.mark.parametrize("layer, case, shapes, words", [
    (Correlation, dict(kernel_size=2, max_displacement=1), [(1, 1, 5, 5)] * 2, "kernel_size: 2, must be odd"),
    (Correlation, dict(kernel_size=1, max_displacement=4), [(1, 1, 5, 5)] * 2, "do not fit"),
    (Correlation, dict(kernel_size=1, max_displacement=1), [(1, 1, 5, 5), (1, 1, 5, 4)], "bottom[1] has the shape"),
    (FlowWarp, {}, [(1, 1, 5, 5), (1, 1, 5, 5)], "expected (1, 2, 5, 5)"),
])
def test_wrong_bottoms_are_refused(layer, case, shapes, words):
    with pytest.raises(LayerForgeError) as caught:
        Rig(layer, case, [np.zeros(s) for s in shapes])
    assert words in str(caught.value)


class TestChannelNorm(LayerTest):
    layer = ChannelNorm
    cases = [dict()]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 2, 4))]

    def expected(self, x):
        return np.sqrt((x**2).sum(axis=1, keepdims=True))


def test_the_norm_of_zeros_has_no_gradient():
    made = Rig(ChannelNorm, {}, [np.zeros((1, 2, 1, 1))])
    made.forward()
    assert not made.backward([np.ones((1, 1, 1, 1))])[0].any()
