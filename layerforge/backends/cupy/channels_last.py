"""Kernels on channels-last arrays (N, P, C) of float32, bfloat16 or float16, beside what cuDNN computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.backends.cupy.kernels import blocks
from layerforge.backends.cupy.layout import KINDS
from layerforge.core.window import Window

WIDTH = 16  # bytes that a thread moves at once
TERMS = 4  # of channels_last.cu


class ChannelsLastKernels:
    """Of one kind of numbers.

    kernels  the device's launcher
    """

    def __init__(self, kernels: Any, kind: str) -> None:
        self._kernels = kernels
        self._kind, dtype = KINDS[kind]
        self._at_once = WIDTH // np.dtype(dtype).itemsize

    def sum(self, terms: Sequence[tuple[Any, float]], out: Any, slope: float | None = None) -> None:
        """out = Σ factor · x, negative sums times the slope if one is given; `out` may be one of the terms."""
        given = list(terms)
        while given:
            part, given = given[:TERMS], given[TERMS:]
            arrays, factors = (list(each) for each in zip(*part))
            arrays += [None] * (TERMS - len(part))
            factors += [0.0] * (TERMS - len(part))
            last = slope is not None and not given
            self._launch("sum_last", out.size, *arrays, out, *map(float, factors), last, float(slope or 0), out.size)
            given = [(out, 1.0), *given] if given else given

    def relu_gradient(self, dy: Any, y: Any, dx: Any, slope: float = 0.0) -> None:
        """dx = dy where y > 0, else slope · dy; dx may be dy."""
        self._launch("relu_gradient_last", dy.size, dy, y, dx, float(slope), dy.size)

    def copy_channels(
        self, x: Any, y: Any, rows: int, width: int, source: tuple[int, int], target: tuple[int, int]
    ) -> None:
        """y (rows, to)[:, first …] = x (rows, from)[:, first …], `width` of them;  source, target  (channels, first)"""
        wide = all(n % self._at_once == 0 for n in (width, *source, *target))
        grid = blocks(rows * width // (self._at_once if wide else 1))
        numbers = rows, width, *source, *target, self._kind, wide
        self._kernels.launch("channels_last.cu", "copy_channels", grid, x, y, *numbers)

    def dropout(self, x: Any, mask: Any, y: Any, channels: int, positions: int, factor: float) -> None:
        """y = factor · x where the mask, which is in plain order (N, C, P), is set, else 0."""
        numbers = x.size, channels, positions, float(factor), self._kind
        self._kernels.launch("channels_last.cu", "dropout_last", blocks(x.size), x, mask, y, *numbers)

    def max_pool(
        self, x: Any, y: Any, index: Any, window: Window, x_shape: Sequence[int], y_shape: Sequence[int]
    ) -> None:
        """index (int32, as y) may be None; shapes are (N, C, H, W)."""
        self._pool("max_pool_last", (x, y, index), window, x_shape, y_shape, y.size)

    def max_pool_gradient(
        self, dy: Any, index: Any, dx: Any, window: Window, x_shape: Sequence[int], y_shape: Sequence[int]
    ) -> None:
        self._pool("max_pool_gradient_last", (dy, index, dx), window, x_shape, y_shape, dx.size)

    def average_pool(
        self, x: Any, y: Any, window: Window, x_shape: Sequence[int], y_shape: Sequence[int], count_padding: bool
    ) -> None:
        self._pool("average_pool_last", (x, y), window, x_shape, y_shape, y.size, count_padding)

    def average_pool_gradient(
        self, dy: Any, dx: Any, window: Window, x_shape: Sequence[int], y_shape: Sequence[int], count_padding: bool
    ) -> None:
        self._pool("average_pool_gradient_last", (dy, dx), window, x_shape, y_shape, dx.size, count_padding)

    def lrn(self, x: Any, y: Any, scale: Any, channels: int, *, size: int, alpha: float, beta: float, k: float) -> None:
        """y = x · scale^-beta; scale (float32) is kept for the gradient."""
        numbers = x.size, channels, size, float(alpha) / size, float(beta), float(k), self._kind
        self._kernels.launch("channels_last_lrn.cu", "lrn_last", blocks(x.size), x, y, scale, *numbers)

    def lrn_gradient(
        self, dy: Any, x: Any, scale: Any, dx: Any, channels: int, *, size: int, alpha: float, beta: float
    ) -> None:
        factor = 2 * float(alpha) * float(beta) / size
        numbers = x.size, channels, size, factor, float(beta), self._kind
        self._kernels.launch("channels_last_lrn.cu", "lrn_gradient_last", blocks(x.size), dy, x, scale, dx, *numbers)

    def _pool(
        self, kernel: str, arrays: Sequence[Any], window: Window, plane: Sequence[int], pooled: Sequence[int],
        count: int, *more: Any,
    ) -> None:
        channels = plane[1]
        wide = channels % self._at_once == 0
        geometry = [
            number
            for axis in range(2)
            for number in (plane[2 + axis], pooled[2 + axis], window.kernel[axis], window.stride[axis],
                           window.pad[axis], window.pad_end[axis])
        ]
        grid = blocks(count // (self._at_once if wide else 1))
        numbers = count, *geometry, channels, self._kind, wide
        self._kernels.launch("channels_last_pooling.cu", kernel, grid, *arrays, *numbers, *more)

    def _launch(self, kernel: str, count: int, *arguments: Any) -> None:
        """A pointwise kernel of `count` numbers."""
        wide = count % self._at_once == 0
        grid = blocks(count // (self._at_once if wide else 1))
        self._kernels.launch("channels_last.cu", kernel, grid, *arguments, self._kind, wide)


def keep_statistics(
    kernels: Any, mean: Any, inv_std: Any, sums: Sequence[Any], *, fraction: float, eps: float, correction: float
) -> None:
    """S ← fraction · S + (mean, correction · variance, 1), where variance = 1 / inv_std² - eps

    sums  S_μ (C), S_σ² (C), S_1 (1)
    """
    numbers = mean.size, *map(np.float64, (fraction, eps, correction))
    kernels.launch("norm_statistics.cu", "keep_statistics", blocks(mean.size), mean, inv_std, *sums, *numbers)


def norm_factors(
    kernels: Any, sums: Sequence[Any] | None, gamma: Any, beta: Any, bias: Any, factor: Any, offset: Any, eps: float
) -> None:
    """factor · x + offset normalises x + bias with the kept sums, then does γ and β; what is None is left out."""
    arrays = *(sums or (None,) * 3), gamma, beta, bias, factor, offset
    kernels.launch("norm_statistics.cu", "norm_factors", blocks(factor.size), *arrays, factor.size, np.float64(eps))
