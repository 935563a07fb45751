"""Boxes of pictures, brought to one size."""

from __future__ import annotations

import numpy as np

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class CropAndResizeParams(Params, message="crop_and_resize_param"):
    crop_h: int = field(int, required=True, at_least=1, doc="the height of every crop")
    crop_w: int = field(int, required=True, at_least=1, doc="the width of every crop")
    extrapolation_value: float = field(float, 0.0, doc="y where a box reaches beyond its picture")
    data_format: str = field(str, "NHWC", choices=("NHWC", "NCHW"), doc="the order of the axes of x and y")


class CropAndResize(Layer):
    """y[r, i, j] = x between its four neighbours around (y1 (H - 1) + i s_y, x1 (W - 1) + j s_x)

    s_y = (y2 - y1) (H - 1)/(crop_h - 1), s_x likewise

    bottom[0]  x (N, H, W, C), with data_format: "NCHW" (N, C, H, W)
    bottom[1]  the number of each box's picture (R,)
    bottom[2]  boxes (R, 4): y1, x1, y2, x2 as shares of H - 1 and W - 1
    top[0]     y (R, crop_h, crop_w, C) or (R, C, crop_h, crop_w)

    One row or column is taken from the middle of the box. Numbers of pictures are cut to integers.
    Source: TensorFlow's crop_and_resize, in synopsys-caffe
    """

    type, Params = "CropAndResize", CropAndResizeParams
    bottoms, no_gradient, in_place = 3, (1, 2), False
    arrays, captured, uncaptured_reason = "host", False, "what it reads depends on the boxes"

    def reshape(self, bottom, top):
        p, (x, numbers, boxes) = self.params, [view.shape for view in bottom]
        self.require(len(x) == 4, f"bottom[0] has the shape {x}, it needs 4 axes")
        self.require(len(boxes) == 2 and boxes[1] == 4, f"bottom[2] has the shape {boxes}, expected (R, 4)",
                     hint="a row is y1, x1, y2, x2")
        self.require(numbers == boxes[:1], f"bottom[1] has the shape {numbers}, expected ({boxes[0]},)",
                     hint="one number of a picture for each box")
        channels = x[3 if p.data_format == "NHWC" else 1]
        sizes = p.crop_h, p.crop_w
        top[0].reshape(boxes[0], *((*sizes, channels) if p.data_format == "NHWC" else (channels, *sizes)))

    def _last(self, array):
        """With the channels last."""
        return array if self.params.data_format == "NHWC" else array.transpose(0, 2, 3, 1)

    def _places(self, bottom):
        """(pictures, rows, columns, inside): neighbours with their weights, and what lies in the pictures."""
        x, (numbers, boxes) = self._last(bottom[0].data), (view.data for view in bottom[1:])
        pictures = numbers.astype(int)
        bad = np.flatnonzero((pictures < 0) | (pictures >= len(x)))
        if len(bad):
            self.require(False, f"box {bad[0]} of bottom[2] is in picture {pictures[bad[0]]} of {len(x)}",
                         hint="pictures count from 0")
        rows = _between(boxes[:, 0], boxes[:, 2], self.params.crop_h, x.shape[1])
        columns = _between(boxes[:, 1], boxes[:, 3], self.params.crop_w, x.shape[2])
        inside = rows[2][:, :, None] & columns[2][:, None, :]  # (R, crop_h, crop_w)
        return pictures, rows, columns, inside

    def _corners(self, pictures, rows, columns):
        """The four neighbours: (where in x, weight)"""
        for i in (0, 1):
            for j in (0, 1):
                weight = rows[1][i][:, :, None] * columns[1][j][:, None, :]
                yield (pictures[:, None, None], rows[0][i][:, :, None], columns[0][j][:, None, :]), weight[..., None]

    def forward(self, bottom, top):
        pictures, rows, columns, inside = self._places(bottom)
        x, y = self._last(bottom[0].data), self._last(top[0].data)
        y[...] = sum(x[where] * weight for where, weight in self._corners(pictures, rows, columns))
        y[~inside] = self.params.extrapolation_value

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        pictures, rows, columns, inside = self._places(bottom)
        dx, dy = self._last(bottom[0].diff), self._last(top[0].diff) * inside[..., None]
        dx[...] = 0
        for where, weight in self._corners(pictures, rows, columns):
            np.add.at(dx, where, dy * weight)


def _between(low, high, outputs, size):
    """Of boxes low … high along an axis: ((index, index), (weight, weight), inside), (R, outputs) each."""
    if outputs > 1:
        place = (low * (size - 1))[:, None] + np.arange(outputs, dtype=low.dtype) * (
            (high - low) * (size - 1) / (outputs - 1)
        )[:, None]
    else:
        place = ((low + high) / 2 * (size - 1))[:, None]
    inside = (place >= 0) & (place <= size - 1)
    place = np.where(inside, place, 0)
    below, above = np.floor(place).astype(int), np.ceil(place).astype(int)
    share = place - below
    return (below, above), (1 - share, share), inside
