"""Maps of several sizes as channels of one."""

from __future__ import annotations

import math

import numpy as np

from layerforge.core import taps
from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class AccumParams(Params, message="accum_param"):
    top_height: int = field(int, 0, at_least=0, doc="the height of y; counts if both sides exceed those of all bottoms")
    top_width: int = field(int, 0, at_least=0, doc="the width of y; counts with top_height")
    size_divisible_by: int = field(int, 0, at_least=0, doc="the largest sides, rounded up to multiples of this")
    have_reference: bool = field(bool, False, doc="the last bottom only gives the size")


class Accum(Layer):
    """y = x_0 ⧺ x_1 ⧺ … along the channels, each resized to (Ho, Wo) between its four neighbours, corners aligned

    bottom[i]  x_i (N, C_i, H_i, W_i)
    top[0]     y (N, Σ C_i, Ho, Wo)     Ho, Wo: the reference's; else the largest, or larger ones that are asked for

    Source: FlowNet2's accum_layer, in synopsys-caffe
    """

    type, Params = "Accum", AccumParams
    bottoms, in_place = (1, None), False

    def reshape(self, bottom, top):
        p = self.params
        for i, x in enumerate(bottom):
            self.require(x.ndim == 4, f"bottom[{i}] has the shape {x.shape}, it needs 4 axes (N, C, H, W)")
            self.require(x.shape[0] == bottom[0].shape[0] and min(x.shape[2:]) >= 1,
                         f"bottom[{i}] is {x.shape}, bottom[0] is {bottom[0].shape}: the first axes must agree",
                         hint="all maps are of the same pictures")
        self.require(len(bottom) > p.have_reference, "a reference needs a bottom before it", field="have_reference")
        self.maps = len(bottom) - p.have_reference
        high, wide = bottom[-1].shape[2:] if p.have_reference else self._largest(bottom)
        channels = [x.shape[1] for x in bottom[: self.maps]]
        top[0].reshape(bottom[0].shape[0], sum(channels), high, wide)
        ends = np.cumsum(channels)
        self.parts = [(slice(None), slice(end - n, end)) for n, end in zip(channels, ends)]
        self.taps = [[_aligned(n, o) for n, o in zip(x.shape[2:], (high, wide))] for x in bottom[: self.maps]]
        self.resized = [self.scratch((x.shape[0], x.shape[1], high, wide)) for x in bottom[: self.maps]]

    def _largest(self, bottom):
        """The sides of y without a reference."""
        p = self.params
        sides = [max(x.shape[axis] for x in bottom) for axis in (2, 3)]
        wanted = [p.top_height, p.top_width]
        if p.size_divisible_by:
            wanted = [math.ceil(n / p.size_divisible_by) * p.size_divisible_by for n in sides]
        return wanted if all(w > n for w, n in zip(wanted, sides)) else sides

    def forward(self, bottom, top):
        for x, part, (rows, columns), y in zip(bottom, self.parts, self.taps, self.resized):
            self.ops.resize(x.data, rows, columns, out=y.data)
            self.xp.copyto(top[0].data[part], y.data)

    def backward(self, top, propagate_down, bottom):
        for i, (x, wanted) in enumerate(zip(bottom, propagate_down)):
            if wanted and i < self.maps:
                dy = self.resized[i].data
                self.xp.copyto(dy, top[0].diff[self.parts[i]])
                self.ops.resize_gradient(dy, *self.taps[i], out=x.diff)
            elif wanted:
                x.diff.fill(0)


def _aligned(size, outputs):
    """Places from the first value to the last."""
    return taps.linear(np.arange(outputs) * ((size - 1) / (outputs - 1) if outputs > 1 else 0.0), size)
