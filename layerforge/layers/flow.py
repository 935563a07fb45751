"""Layers of optical flow."""

from __future__ import annotations

import math

import numpy as np

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class CorrelationParams(Params, message="correlation_param"):
    pad: int = field(int, 0, at_least=0, doc="zeros around both planes")
    kernel_size: int = field(int, required=True, at_least=1, doc="the side of the windows that are compared; odd")
    max_displacement: int = field(int, required=True, at_least=0, doc="the largest displacement in both directions")
    stride_1: int = field(int, 1, at_least=1, doc="the step between windows of bottom[0]")
    stride_2: int = field(int, 1, at_least=1, doc="the step between displacements")
    correlation_type: str = field(str, "MULTIPLY", choices=("MULTIPLY", "SUBTRACT"),
                                  doc="products, or absolute differences")
    do_abs: bool = field(bool, False, doc="has no effect, as in the original")
    single_direction: int = field(int, 0, at_least=0, at_most=0, doc="only 0: displacements in both directions")


class Correlation(Layer):
    """y[(v, u), p, q] = the mean over channels and window around (p, q) of a · (b moved by v down and u across)

    bottom[0]  a (N, C, H, W)
    bottom[1]  b (N, C, H, W)
    top[0]     y (N, D², Ho, Wo)   D = 2 ⌊max_displacement / stride_2⌋ + 1; v is the slower of the two
               Ho = ⌈(H + 2 pad - 2 max_displacement - kernel_size + 1) / stride_1⌉

    SUBTRACT: the mean of |a - b moved|. Source: Dosovitskiy et al. 2015 (FlowNet), correlation_layer
    """

    type, Params = "Correlation", CorrelationParams
    bottoms = 2

    def reshape(self, bottom, top):
        p, shape = self.params, bottom[0].shape
        self.require(len(shape) == 4, f"bottom[0] has the shape {shape}, it needs 4 axes (N, C, H, W)")
        self.require(bottom[1].shape == shape, f"bottom[1] has the shape {bottom[1].shape}, bottom[0] {shape}")
        self.require(p.kernel_size % 2 == 1, f"kernel_size: {p.kernel_size}, must be odd", field="kernel_size")
        rest = [n + 2 * p.pad - 2 * p.max_displacement - p.kernel_size + 1 for n in shape[2:]]
        self.require(min(rest) >= 1, f"displacements and windows do not fit into planes of {shape[2:]}",
                     hint="increase pad, or reduce max_displacement", field="max_displacement")
        side = 2 * (p.max_displacement // p.stride_2) + 1
        top[0].reshape(shape[0], side * side, *(math.ceil(n / p.stride_1) for n in rest))
        self.options = {"pad": p.pad, "kernel": p.kernel_size, "reach": p.max_displacement, "stride": p.stride_1,
                        "step": p.stride_2, "subtract": p.correlation_type == "SUBTRACT"}

    def forward(self, bottom, top):
        self.ops.correlate(bottom[0].data, bottom[1].data, out=top[0].data, **self.options)

    def backward(self, top, propagate_down, bottom):
        a, b = (view.data for view in bottom)
        out_a, out_b = (view.diff if down else None for view, down in zip(bottom, propagate_down))
        if out_a is not None or out_b is not None:
            self.ops.correlate_gradient(top[0].diff, a, b, out_a=out_a, out_b=out_b, **self.options)


class FlowWarpParams(Params, message="flow_warp_param"):
    fill_value: str = field(str, "ZERO", choices=("ZERO", "NOT_A_NUMBER"), doc="what places outside the plane give")


class FlowWarp(Layer):
    """y[c, p, q] = x[c] between its four neighbours around (p + flow[1, p, q], q + flow[0, p, q])

    bottom[0]  x (N, C, H, W)
    bottom[1]  flow (N, 2, H, W): across, then down
    top[0]     y (N, C, H, W)

    Source: Ilg et al. 2017 (FlowNet2), flow_warp_layer
    """

    type, Params = "FlowWarp", FlowWarpParams
    bottoms = 2

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        self.require(len(shape) == 4, f"bottom[0] has the shape {shape}, it needs 4 axes (N, C, H, W)")
        want = (shape[0], 2, *shape[2:])
        self.require(bottom[1].shape == want, f"bottom[1] has the shape {bottom[1].shape}, expected {want}",
                     hint="flow has two channels: across and down")
        top[0].reshape(shape)

    def forward(self, bottom, top):
        fill = 0.0 if self.params.fill_value == "ZERO" else math.nan
        self.ops.warp(bottom[0].data, bottom[1].data, fill=fill, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        out_x, out_flow = (view.diff if down else None for view, down in zip(bottom, propagate_down))
        if out_x is not None or out_flow is not None:
            self.ops.warp_gradient(top[0].diff, bottom[0].data, bottom[1].data, out_x=out_x, out_flow=out_flow)


class ChannelNorm(Layer):
    """y[p] = √(Σ_c x[c, p]²)

    bottom[0]  x (N, C, H, W)
    top[0]     y (N, 1, H, W)

    The gradient x / y is 0 where y is. Source: Ilg et al. 2017 (FlowNet2), channel_norm_layer
    """

    type = "ChannelNorm"

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        self.require(len(shape) == 4, f"bottom[0] has the shape {shape}, it needs 4 axes (N, C, H, W)")
        top[0].reshape(shape[0], 1, *shape[2:])
        self.square, self.norm = self.scratch(shape), self.kept(top[0].shape)

    def forward(self, bottom, top):
        xp, norm = self.xp, self.norm.data
        xp.multiply(bottom[0].data, bottom[0].data, out=self.square.data)
        xp.sum(self.square.data, axis=1, keepdims=True, out=norm)
        xp.sqrt(norm, out=norm)
        xp.copyto(top[0].data, norm)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            xp, norm, dx = self.xp, self.norm.data, bottom[0].diff
            xp.maximum(norm, float(np.finfo(self.dtype).tiny), out=norm)
            xp.divide(bottom[0].data, norm, out=dx)
            xp.multiply(dx, top[0].diff, out=dx)
