"""Resizing in the dialects of TensorFlow and of FlowNet2."""

from __future__ import annotations

import math

import numpy as np

from layerforge.core import taps
from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class Resized(Layer):
    """y = x resampled along its rows and its columns

    rows, columns  the Taps; set by `resample`
    """

    def resample(self, bottom, top, outs, taps_of):
        """Shapes the top, and sets the taps of both axes by taps_of(axis, size, outputs)."""
        shape = bottom[0].shape
        self.require(all(n >= 1 for n in (*outs, *shape[2:])), f"planes of {shape[2:]} become {tuple(outs)}",
                     hint="no side may be empty")
        top[0].reshape(*shape[:2], *outs)
        self.rows, self.columns = (taps_of(axis, n, o) for axis, (n, o) in enumerate(zip(shape[2:], outs)))

    def require_planes(self, view):
        self.require(len(view.shape) == 4, f"bottom[0] has the shape {view.shape}, it needs 4 axes (N, C, H, W)")

    def forward(self, bottom, top):
        self.ops.resize(bottom[0].data, self.rows, self.columns, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.ops.resize_gradient(top[0].diff, self.rows, self.columns, out=bottom[0].diff)
        for view, down in zip(bottom[1:], propagate_down[1:]):
            if down:
                view.diff.fill(0)


class ResizeParams(Params):
    """What the two layers after TensorFlow share."""

    align_corners: bool = field(bool, False, doc="the first and last values keep their places")
    output_height: int = field(int, at_least=1, doc="the height of y; ⌊scale_height · H⌋ without")
    output_width: int = field(int, at_least=1, doc="the width of y; ⌊scale_width · W⌋ without")
    data_format: str = field(str, "NHWC", choices=("NHWC", "NCHW"), doc="the order of the axes of x and y")
    scale_height: float = field(float, 1.0, above=0, doc="how much higher y is")
    scale_width: float = field(float, 1.0, above=0, doc="how much wider y is")
    half_pixel_centers: bool = field(bool, False, doc="values stand in the middle of their pixels")


class TensorFlowResized(Resized):
    """The sizes that the two layers after TensorFlow share; a subclass has `taps_of`."""

    def reshape(self, bottom, top):
        p = self.params
        self.require_planes(bottom[0])
        last = p.data_format == "NHWC"
        n, *sizes, c = bottom[0].shape if last else self._moved(bottom[0].shape)
        outs = [given or math.floor(size * scale) for given, size, scale in zip(
            (p.output_height, p.output_width), sizes, (p.scale_height, p.scale_width))]
        self.require(min(*outs, *sizes) >= 1, f"planes of {tuple(sizes)} become {tuple(outs)}",
                     hint="no side may be empty")
        top[0].reshape(*((n, *outs, c) if last else (n, c, *outs)))
        self.rows, self.columns = (self.taps_of(axis, size, out) for axis, (size, out) in enumerate(zip(sizes, outs)))
        self.planes = [self.scratch((n, c, *each)) for each in (sizes, outs)] if last else []

    def forward(self, bottom, top):
        if not self.planes:
            super().forward(bottom, top)
            return
        x, y = (each.data for each in self.planes)
        self.xp.copyto(x, bottom[0].data.transpose(0, 3, 1, 2))
        self.ops.resize(x, self.rows, self.columns, out=y)
        self.xp.copyto(top[0].data, y.transpose(0, 2, 3, 1))

    def backward(self, top, propagate_down, bottom):
        if not self.planes:
            super().backward(top, propagate_down, bottom)
        elif propagate_down[0]:
            dx, dy = (each.data for each in self.planes)
            self.xp.copyto(dy, top[0].diff.transpose(0, 3, 1, 2))
            self.ops.resize_gradient(dy, self.rows, self.columns, out=dx)
            self.xp.copyto(bottom[0].diff, dx.transpose(0, 2, 3, 1))

    @staticmethod
    def _moved(shape):
        """(N, C, H, W) as (N, H, W, C)."""
        return shape[0], *shape[2:], shape[1]

    def step(self, size, outputs):
        """How far neighbours of y are apart in x."""
        return (size - 1) / (outputs - 1) if self.params.align_corners and outputs > 1 else size / outputs


class ResizeBilinearParams(ResizeParams, message="resize_bilinear_param"):
    pytorch_half_pixel: bool = field(bool, False, doc="half_pixel_centers, but one output is the first value")


class ResizeBilinear(TensorFlowResized):
    """y[p, q] = x between its four neighbours around (p H/Ho, q W/Wo)

    bottom[0]  x (N, H, W, C), with data_format: "NCHW" (N, C, H, W)
    top[0]     y (N, output_height, output_width, C) or (N, C, output_height, output_width)

    align_corners: around (p (H - 1)/(Ho - 1), …); half_pixel_centers: around ((p + ½) H/Ho - ½, …).
    Source: TensorFlow's resize_bilinear, in synopsys-caffe
    """

    type, Params = "ResizeBilinear", ResizeBilinearParams

    def taps_of(self, axis, size, outputs):
        p, at = self.params, np.arange(outputs)
        if p.align_corners or not (p.half_pixel_centers or p.pytorch_half_pixel):
            return taps.linear(at * self.step(size, outputs), size)
        if p.pytorch_half_pixel and outputs == 1:
            return taps.linear([-0.5], size)
        return taps.linear((at + 0.5) * self.step(size, outputs) - 0.5, size)


class ResizeNearestNeighborParams(ResizeParams, message="resize_nearest_neighbor_param"):
    half_pixel_onnx: bool = field(bool, False, doc="⌊(p + ½) H/Ho - ½⌋, as ONNX has it")


class ResizeNearestNeighbor(TensorFlowResized):
    """y[p, q] = x[⌊p H/Ho⌋, ⌊q W/Wo⌋]

    bottom[0]  x (N, H, W, C), with data_format: "NCHW" (N, C, H, W)
    top[0]     y (N, output_height, output_width, C) or (N, C, output_height, output_width)

    align_corners: p (H - 1)/(Ho - 1) rounded, halves up; half_pixel_centers: ⌊(p + ½) H/Ho⌋.
    Source: TensorFlow's resize_nearest_neighbor, in synopsys-caffe
    """

    type, Params = "ResizeNearestNeighbor", ResizeNearestNeighborParams

    def taps_of(self, axis, size, outputs):
        p, at, step = self.params, np.arange(outputs), self.step(size, outputs)
        if p.half_pixel_onnx:
            place = (at + 0.5) * step - 0.5
        elif p.half_pixel_centers:
            place = (at + 0.5) * step
        else:
            place = at * step + (0.5 if p.align_corners else 0.0)
        return taps.nearest(np.floor(place), size)


class ResampleParams(Params, message="resample_param"):
    width: int = field(int, 0, at_least=0, doc="the width of y, without a second bottom")
    height: int = field(int, 0, at_least=0, doc="the height of y, without a second bottom")
    type: str = field(str, "LINEAR", choices=("NEAREST", "LINEAR", "CUBIC"), doc="the filter")
    antialias: bool = field(bool, True, doc="widens the filter where y is smaller than x")
    factor: float = field(float, 1.0, doc="has no effect")


def triangle(x: np.ndarray) -> np.ndarray:
    """max(0, 1 - |x|)"""
    return np.maximum(1 - np.abs(x), 0)


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic with a = -½"""
    x = np.abs(x)
    return np.where(x <= 1, x * x * (1.5 * x - 2.5) + 1, np.where(x < 2, x * (x * (-0.5 * x + 2.5) - 4) + 2, 0))


class Resample(Resized):
    """y[p, q] = x filtered around (p fy + (fx - 1)/2, q fx + (fy - 1)/2), fy = H/Ho, fx = W/Wo

    bottom[0]  x (N, C, H, W)
    bottom[1]  gives the height and width of y; may be left out
    top[0]     y (N, C, height, width)

    The offsets have fx and fy exchanged, as in the original. Source: FlowNet2's resample_layer
    """

    type, Params = "Resample", ResampleParams
    bottoms, no_gradient = (1, 2), (1,)

    def reshape(self, bottom, top):
        p = self.params
        self.require_planes(bottom[0])
        outs = bottom[1].shape[2:] if len(bottom) == 2 else (p.height, p.width)
        self.require(len(outs) == 2 and min(outs) >= 1, f"y would have planes of {tuple(outs)}",
                     hint="give height and width, or a second bottom of 4 axes")
        self.factors = [n / o for n, o in zip(bottom[0].shape[2:], outs)]
        self.resample(bottom, top, outs, self.taps_of)

    def taps_of(self, axis, size, outputs):
        p, factor, other = self.params, self.factors[axis], self.factors[1 - axis]
        place = np.arange(outputs) * factor + other / 2 - 0.5
        if p.type == "NEAREST":
            return taps.nearest(np.trunc(place + np.copysign(0.5, place)), size)
        scale = 1 / factor if p.antialias and max(self.factors) > 1 else 1.0
        kernel, width = (cubic, 4) if p.type == "CUBIC" else (triangle, 2)
        reach = 2 if factor < 1 else math.ceil(width / scale)
        return taps.filtered(place, size, reach, lambda distance: kernel(scale * distance))
