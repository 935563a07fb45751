"""Bilinear resizing."""

from __future__ import annotations

import numpy as np

from layerforge.core.taps import Taps, linear
from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class InterpParams(Params, message="interp_param"):
    height: int = field(int, 0, at_least=0, doc="the output's height, with width")
    width: int = field(int, 0, at_least=0, doc="the output's width, with height")
    zoom_factor: int = field(int, 1, at_least=1, doc="z: n becomes n + (n - 1)(z - 1)")
    shrink_factor: int = field(int, 1, at_least=1, doc="s: n becomes ⌊(n - 1) / s⌋ + 1, before zooming")
    pad_beg: int = field(int, 0, at_most=0, doc="so many rows and columns are cut off at the start (negative)")
    pad_end: int = field(int, 0, at_most=0, doc="so many rows and columns are cut off at the end (negative)")
    full_zoom_factor: int = field(int, 1, at_least=1, doc="f: n becomes f n")


class Interp(Layer):
    """y[p, q] = x between its four neighbours around (p (h - 1)/(Ho - 1), q (w - 1)/(Wo - 1)): corners are aligned

    bottom[0]  x (N, C, H, W)       h = H + pad_beg + pad_end, w likewise
    top[0]     y (N, C, Ho, Wo)     by one factor; else height and width; else both factors

    Source: PSPNet's and DeepLab's interp_layer
    """

    type, Params = "Interp", InterpParams

    def reshape(self, bottom, top):
        p, shape = self.params, bottom[0].shape
        self.require(len(shape) == 4, f"bottom[0] has the shape {shape}, it needs 4 axes (N, C, H, W)")
        kept = [n + p.pad_beg + p.pad_end for n in shape[2:]]
        self.require(min(kept) >= 1, f"pad_beg and pad_end leave {kept} of {shape[2:]}", field="pad_beg")
        outs = self._sizes(*kept)
        top[0].reshape(*shape[:2], *outs)
        self.rows, self.columns = (self._taps(n, o) for n, o in zip(kept, outs))

    def _taps(self, size, outputs):
        """Of what is left of an axis, corners aligned."""
        step = (size - 1) / (outputs - 1) if outputs > 1 else 0.0
        index, weight = linear(np.arange(outputs) * step, size)
        return Taps(index - self.params.pad_beg, weight)

    def _sizes(self, *sizes):
        p = self.params
        if p.has("full_zoom_factor"):
            return [n * p.full_zoom_factor for n in sizes]
        if p.has("shrink_factor") == p.has("zoom_factor") and p.has("height") and p.has("width"):
            self.require(p.height >= 1 and p.width >= 1, f"an output of {p.height} × {p.width}", field="height")
            return [p.height, p.width]
        self.require(p.has("shrink_factor") or p.has("zoom_factor"), "no size is given",
                     hint="give zoom_factor, shrink_factor, or height and width")
        small = [(n - 1) // p.shrink_factor + 1 for n in sizes]
        return [n + (n - 1) * (p.zoom_factor - 1) for n in small]

    def forward(self, bottom, top):
        self.ops.resize(bottom[0].data, self.rows, self.columns, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.ops.resize_gradient(top[0].diff, self.rows, self.columns, out=bottom[0].diff)
