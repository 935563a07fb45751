"""Regions of interest by four samples a bin."""

from __future__ import annotations

import numpy as np

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field

SAMPLES = np.array([(-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)])  # (y, x), in the order of the original


class ROIAlignParams(Params, message="roi_align_param"):
    pooled_h: int = field(int, required=True, at_least=1, doc="bins down each region")
    pooled_w: int = field(int, required=True, at_least=1, doc="bins across each region")
    spatial_scale: float = field(float, 1.0, above=0, doc="a step of the map in steps of the regions' coordinates")


class ROIAlign(Layer):
    """y[r, c, i, j] = max over s of Σ_k max(0, 1 - |s_y - v_k|) max(0, 1 - |s_x - u_k|) x[h_k, w_k],  s = (±½, ±½)

    bottom[0]  x (N, C, H, W)
    bottom[1]  regions (R, 5) or (R, 5, 1, 1): number of the picture, x1, y1, x2, y2
    top[0]     y (R, C, pooled_h, pooled_w)

    (h_k, w_k) are the first four points of the map in bin (i, j), row by row, and (v_k, u_k) where they lie in the
    region, from -1 to 1. A point beyond the map counts as 0; an empty bin gives at least 0. This is the layer of
    that name in synopsys-caffe, not the average that other programs call by it. Source: synopsys-caffe, roi_align_layer
    """

    type, Params = "ROIAlign", ROIAlignParams
    bottoms, no_gradient, in_place = 2, (1,), False
    arrays, captured, uncaptured_reason = "host", False, "what it reads depends on the regions"

    def reshape(self, bottom, top):
        p, shape, regions = self.params, bottom[0].shape, bottom[1].shape
        self.require(len(shape) == 4, f"bottom[0] has the shape {shape}, it needs 4 axes (N, C, H, W)")
        self.require(len(regions) >= 2 and bottom[1].count(1) == 5,
                     f"bottom[1] has the shape {regions}, expected (R, 5)",
                     hint="a row is the number of the picture, x1, y1, x2, y2")
        top[0].reshape(regions[0], shape[1], p.pooled_h, p.pooled_w)

    def forward(self, bottom, top):
        x, p = bottom[0].data, self.params
        regions = bottom[1].data.reshape(-1, 5)
        pictures = regions[:, 0].astype(int)
        bad = np.flatnonzero((pictures < 0) | (pictures >= len(x)))
        if len(bad):
            self.require(False, f"region {bad[0]} of bottom[1] is in picture {pictures[bad[0]]} of {len(x)}",
                         hint="pictures count from 0")
        flat = x.reshape(*x.shape[:2], -1)
        self.won = []
        for picture, region, y in zip(pictures, regions[:, 1:] * x.dtype.type(p.spatial_scale), top[0].data):
            index, weight, floor = _points(region, p.pooled_h, p.pooled_w, *x.shape[2:])
            sums = np.einsum("cbk,bsk->cbs", flat[picture][:, index], weight)  # (C, bins, samples)
            best = sums.argmax(axis=2)  # the first of equal ones
            value = np.take_along_axis(sums, best[..., None], axis=2)[..., 0]
            y[...] = np.maximum(value, floor).reshape(y.shape)
            self.won.append((picture, index, weight[np.arange(len(index)), best] * (value > floor)[..., None]))

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        dx = bottom[0].diff
        dx[...] = 0
        flat = dx.reshape(*dx.shape[:2], -1)
        for (picture, index, weight), dy in zip(self.won, top[0].diff):
            channels = np.arange(dx.shape[1])[:, None, None]
            np.add.at(flat[picture], (channels, index[None]), dy.reshape(len(dy), -1, 1) * weight)


def _points(region, bins_down, bins_across, height, width):
    """Of the bins of a region: (index in the flat map (B, 4), weight (B, samples, 4), the least value (B,))."""
    x1, y1, x2, y2 = region
    rows, columns = (
        [_bin(low, max(high - low + 1, 1) / bins, i, size) for i in range(bins)]
        for low, high, bins, size in ((y1, y2, bins_down, height), (x1, x2, bins_across, width))
    )
    count = bins_down * bins_across
    index, weight = np.zeros((count, 4), int), np.zeros((count, len(SAMPLES), 4), region.dtype)
    floor = np.full(count, -np.inf, region.dtype)
    for b, ((top, bottom), (left, right)) in enumerate((r, c) for r in rows for c in columns):
        if bottom <= top or right <= left:
            floor[b] = 0
        inside = [(h, w) for h in _whole(top, bottom) for w in _whole(left, right)][:4]
        for k, (h, w) in enumerate(inside):
            if h < height and w < width:
                v, u = _relative(h, y1, y2), _relative(w, x1, x2)
                index[b, k] = h * width + w
                weight[b, :, k] = np.maximum(0, 1 - abs(SAMPLES[:, 0] - v)) * np.maximum(0, 1 - abs(SAMPLES[:, 1] - u))
    return index, weight, floor


def _bin(start, step, i, size):
    """Where bin i begins and ends, cut at the map."""
    kind = start.dtype.type
    return tuple(min(max(kind(n) * step + start, kind(0)), kind(size)) for n in (i, i + 1))


def _whole(low, high):
    return range(int(np.ceil(low)), int(np.floor(high)) + 1)


def _relative(place, low, high):
    """Where a place lies between two others: -1 … 1; 0 where these are one."""
    return 0.0 if high == low else min(max(2 * (place - low) / (high - low) - 1, -1), 1)
