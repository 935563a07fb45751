"""Spatial pyramid pooling."""

from __future__ import annotations

import math

from layerforge.core.window import Window
from layerforge.layers.base import Layer
from layerforge.layers.engine import engine_field
from layerforge.layers.pooling import pooled_shape
from layerforge.netdef.params import Params, field


class SPPParams(Params, message="spp_param"):
    pyramid_height: int = field(int, required=True, at_least=1, at_most=12, doc="the number of levels")
    pool: str = field(str, "MAX", choices=("MAX", "AVE"), doc="the largest value of a bin, or its mean")
    engine: str = engine_field()


class SPP(Layer):
    """y = level 0, level 1, … behind one another, level l being Pooling into 2^l × 2^l bins

    bottom[0]  x (N, C, H, W)
    top[0]     y (N, C · Σ 4^l); with one level (N, C, 1, 1)

    Level l has the window and stride ⌈size / 2^l⌉ and the padding ⌊(window · 2^l - size + 1) / 2⌋.
    Source: He et al. 2014; Caffe's spp_layer.cpp
    """

    type, Params = "SPP", SPPParams

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        self.require(len(shape) == 4, f"bottom[0] has the shape {shape}, it needs 4 axes (N, C, H, W)")
        n, c = shape[:2]
        self.windows = [self._level(2**level, shape[2:]) for level in range(self.params.pyramid_height)]
        self.levels = [self.scratch((n, c, *pooled_shape(w, shape[2:], ceil=True))) for w in self.windows]
        self.sum = self.scratch(shape)
        if self.params.pool == "MAX":
            self.indices = [self.kept(level.shape, "int32") for level in self.levels]
        columns = sum(c * level.shape[2] * level.shape[3] for level in self.levels)
        top[0].reshape(*self.levels[0].shape) if len(self.levels) == 1 else top[0].reshape(n, columns)

    def _level(self, bins, sizes):
        kernel = tuple(-(-n // bins) for n in sizes)
        pad = tuple((k * bins - n + 1) // 2 for k, n in zip(kernel, sizes))
        self.require(all(p < k for p, k in zip(pad, kernel)),
                     f"a plane of {sizes} is too small for {bins} × {bins} bins: padding {pad}, window {kernel}",
                     hint="reduce pyramid_height", field="pyramid_height")
        return Window.make(kernel, kernel, pad)

    def parts(self, array):
        """The columns of each level of a flat top."""
        flat, start = array.reshape(array.shape[0], math.prod(array.shape[1:])), 0
        for level in self.levels:
            end = start + level.shape[1] * level.shape[2] * level.shape[3]
            yield flat[:, start:end].reshape(level.shape)
            start = end

    def forward(self, bottom, top):
        x, pooled = bottom[0].data, self.parts(top[0].data)
        for k, (window, level, target) in enumerate(zip(self.windows, self.levels, pooled)):
            if self.params.pool == "MAX":
                self.ops.max_pool(x, window, out=level.data, index=self.indices[k].data)
            else:
                self.ops.average_pool(x, window, out=level.data)
            self.xp.copyto(target, level.data)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        dx, one = bottom[0].diff, self.sum.data
        for k, (window, level, source) in enumerate(zip(self.windows, self.levels, self.parts(top[0].diff))):
            target = one if k else dx
            self.xp.copyto(level.data, source)
            if self.params.pool == "MAX":
                self.ops.max_pool_gradient(level.data, self.indices[k].data, window, out=target)
            else:
                self.ops.average_pool_gradient(level.data, window, out=target)
            if k:
                self.xp.add(dx, one, out=dx)
