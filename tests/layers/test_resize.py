"""Resizing layers against their formulas."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.resize import Resample, ResizeBilinear, ResizeNearestNeighbor
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig


def between(x, rows, columns):
    """x between four neighbours at every pair of places; beyond the ends the last values."""
    y = np.zeros((*x.shape[:2], len(rows), len(columns)))
    h, w = x.shape[2:]
    for p, a in enumerate(rows):
        for q, b in enumerate(columns):
            i, j = int(np.floor(a)), int(np.floor(b))
            for row, down in ((i, 1 - a + i), (i + 1, a - i)):
                for column, across in ((j, 1 - b + j), (j + 1, b - j)):
                    y[:, :, p, q] += down * across * x[:, :, min(max(row, 0), h - 1), min(max(column, 0), w - 1)]
    return y


def places(size, outputs, align_corners=False, half_pixel_centers=False, pytorch_half_pixel=False, **_):
    """Where outputs lie on an axis, before rounding."""
    at = np.arange(outputs)
    if align_corners:
        return at * ((size - 1) / max(outputs - 1, 1))
    if pytorch_half_pixel and outputs == 1:
        return [-0.5]
    return (at + 0.5) * size / outputs - 0.5 if half_pixel_centers or pytorch_half_pixel else at * size / outputs


class TestResizeBilinear(LayerTest):
    layer = ResizeBilinear
    cases = [
        dict(data_format="NCHW", output_height=7, output_width=5),
        dict(data_format="NCHW", scale_height=1.5, scale_width=0.5),
        dict(data_format="NCHW", output_height=7, output_width=1, align_corners=True),
        dict(data_format="NCHW", output_height=8, output_width=3, half_pixel_centers=True),
        dict(data_format="NCHW", output_height=1, output_width=9, pytorch_half_pixel=True),
    ]

    def inputs(self, rng):
        return [rng.normal(size=(2, 2, 4, 3))]

    def expected(self, x, output_height=6, output_width=1, **case):
        return between(x, places(4, output_height, **case), places(3, output_width, **case))


class TestChannelsLast(LayerTest):
    layer = ResizeBilinear
    cases = [dict(output_height=7, output_width=5), dict(scale_height=1.5, align_corners=True)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 4, 3, 2))]

    def expected(self, x, output_height=6, output_width=3, scale_height=1, **case):
        planes = between(x.transpose(0, 3, 1, 2), places(4, output_height, **case), places(3, output_width, **case))
        return planes.transpose(0, 2, 3, 1)


class TestNearestChannelsLast(LayerTest):
    layer = ResizeNearestNeighbor
    cases = [dict(output_height=8, output_width=3)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 4, 3, 2))]

    def expected(self, x, **case):
        return x.repeat(2, axis=1)


class TestResizeNearestNeighbor(LayerTest):
    layer = ResizeNearestNeighbor
    cases = [
        dict(data_format="NCHW", output_height=7, output_width=5),
        dict(data_format="NCHW", output_height=2, output_width=2, align_corners=True),
        dict(data_format="NCHW", output_height=3, output_width=6, half_pixel_centers=True),
        dict(data_format="NCHW", output_height=8, output_width=2, half_pixel_onnx=True),
    ]

    def inputs(self, rng):
        return [rng.normal(size=(2, 2, 4, 3))]

    def expected(self, x, output_height, output_width, align_corners=False, half_pixel_onnx=False, **case):
        sides = []
        for size, outputs in zip(x.shape[2:], (output_height, output_width)):
            at = np.arange(outputs)
            if align_corners:
                place = at * (size - 1) / (outputs - 1) + 0.5
            else:
                place = (at + (0.5 if case.get("half_pixel_centers") or half_pixel_onnx else 0)) * size / outputs
            sides.append(np.clip(np.floor(place - half_pixel_onnx / 2).astype(int), 0, size - 1))
        return x[:, :, sides[0]][:, :, :, sides[1]]


class TestResample(LayerTest):
    layer = Resample
    cases = [
        dict(height=8, width=8),
        dict(height=2, width=2),
        dict(height=2, width=2, antialias=False),
        dict(height=5, width=5, type="CUBIC"),
        dict(height=8, width=8, type="NEAREST"),
    ]

    def inputs(self, rng):
        return [rng.normal(size=(2, 2, 4, 4))]

    def expected(self, x, height, width, type="LINEAR", antialias=True):
        factor, y = 4 / height, np.zeros((2, 2, height, width))
        scale = 1 / factor if antialias and factor > 1 else 1

        def weights(i):
            distance = np.abs(i * factor + factor / 2 - 0.5 - np.arange(4))
            if type == "NEAREST":
                return distance <= 0.5
            d = scale * distance
            if type == "LINEAR":
                return np.maximum(1 - d, 0)
            outer = np.where(d < 2, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2, 0)
            return np.where(d <= 1, 1.5 * d**3 - 2.5 * d**2 + 1, outer)

        for p, q in np.ndindex(height, width):
            both = np.outer(weights(p), weights(q))
            y[:, :, p, q] = (x * both).sum(axis=(2, 3)) / both.sum()
        return y


def test_resample_takes_its_size_from_a_second_bottom():
    made = Rig(Resample, {}, [np.zeros((1, 2, 4, 4)), np.zeros((3, 1, 7, 5))])
    assert made.forward()[0].shape == (1, 2, 7, 5)


@pytest.mark.parametrize("layer, case, words", [
    (ResizeBilinear, dict(data_format="NCHW", scale_height=0.1), "become (0, 4)"),
    (ResizeBilinear, dict(scale_width=0.2), "become (2, 0)"),
    (Resample, dict(height=3), "y would have planes of (3, 0)"),
])
def test_wrong_sizes_are_refused(layer, case, words):
    with pytest.raises(LayerForgeError) as caught:
        Rig(layer, case, [np.zeros((1, 2, 4, 4))])
    assert words in str(caught.value)
