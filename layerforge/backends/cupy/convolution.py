"""Convolution in CUDA C, over one to three spatial axes."""

import math

from layerforge.backends.cupy.kernels import blocks
from layerforge.backends.ops.convolution import ConvolutionOps
from layerforge.core.errors import DeviceError

TILE = 64  # of convolution.cu
FEW = 4  # up to here the channels of a group are taken one by one
FULL = 528  # blocks that keep the largest device busy: four on each of its processors
SHORTEST = 1024  # summands of a slice that are worth a block
AXES = 3


class CupyConvolutionOps(ConvolutionOps):
    def conv_scratch(self, x_shape, outputs, window, group=1):
        geometry(window, x_shape[2:])  # refuses what the kernels cannot do, before anything runs
        if _few(x_shape[1], outputs, group):
            return 0
        slices = _slices(x_shape[0] * math.prod(window.out_shape(x_shape[2:])), x_shape[1], outputs, window, group)
        return slices * outputs * (x_shape[1] // group) * window.count if slices > 1 else 0

    def conv(self, x, w, window, *, group=1, bias=None, out, scratch):
        sizes = _sizes(x.shape[1], w.shape[0], group), geometry(window, x.shape[2:])
        if not out.size:
            return
        if _few(x.shape[1], w.shape[0], group):
            _each(self.kernels, "few_conv", out, x, w, bias, out, out.size, *sizes)
        else:
            tiles = group * _tiles(w.shape[0] // group, out.size // w.shape[0])
            _tiled(self.kernels, "conv", tiles, x, w, bias, out, x.shape[0], *sizes)

    def conv_data_gradient(self, dy, w, window, *, group=1, out, scratch):
        sizes = _sizes(out.shape[1], w.shape[0], group), geometry(window, out.shape[2:])
        if not out.size:
            return
        if _few(out.shape[1], w.shape[0], group):
            _each(self.kernels, "few_data_gradient", out, dy, w, out, out.size, *sizes)
        else:
            tiles = group * _tiles(out.shape[1] // group, out.size // out.shape[1])
            _tiled(self.kernels, "conv_data_gradient", tiles, dy, w, out, out.shape[0], *sizes)

    def conv_weight_gradient(self, x, dy, window, *, group=1, acc, scratch):
        samples, channels, outputs = x.shape[0], x.shape[1], dy.shape[1]
        sizes = _sizes(channels, outputs, group), geometry(window, x.shape[2:])
        if not dy.size or not x.size:
            return
        if _few(channels, outputs, group):
            arguments = x, dy, acc, acc.size, samples, *sizes[0], *sizes[1]
            grid = min(acc.size, 2**31 - 1)
            self.kernels.launch("depthwise.cu", "few_weight_gradient", grid, *arguments, dtype=acc.dtype)
            return
        slices = _slices(dy.size // outputs, channels, outputs, window, group)
        part = scratch if slices > 1 else None
        tiles = slices * group * _tiles(outputs // group, channels // group * window.count)
        _tiled(self.kernels, "conv_weight_gradient", tiles, x, dy, acc, part, slices, samples, *sizes)
        if slices > 1:
            self.kernels.launch(
                "convolution.cu", "add_parts", blocks(acc.size), part, acc, acc.size, slices, dtype=acc.dtype
            )

    def im2col(self, x, window, *, out):
        if out.size:
            axes = geometry(window, x.shape[2:])
            self.kernels.launch("columns.cu", "im2col", blocks(out.size), x, out, out.size, *axes, dtype=x.dtype)

    def col2im(self, col, window, *, out):
        if out.size:
            axes = geometry(window, out.shape[2:])
            self.kernels.launch("columns.cu", "col2im", blocks(out.size), col, out, out.size, *axes, dtype=out.dtype)


def _each(kernels, kernel, out, *arguments):
    """One thread for each number of `out`."""
    *plain, sizes, axes = arguments
    kernels.launch("depthwise.cu", kernel, blocks(out.size), *plain, *sizes, *axes, dtype=out.dtype)


def _tiled(kernels, kernel, tiles, *arguments):
    """One block for each tile."""
    *plain, sizes, axes = arguments
    grid = min(tiles, 2**31 - 1)
    kernels.launch("convolution.cu", kernel, grid, *plain, *sizes, *axes, dtype=arguments[0].dtype)


def geometry(window, ins):
    """The kernels' arguments for each of three axes: in, out, kernel, stride, pad, dilation.

    Raises DeviceError for more axes.
    """
    rows = list(zip(ins, window.out_shape(ins), window.kernel, window.stride, window.pad, window.dilation, strict=True))
    if len(rows) > AXES:
        raise DeviceError(
            f"the GPU's convolution has at most {AXES} spatial axes, this one has {len(rows)}",
            hint="run this net on the CPU: solver_mode: CPU",
        )
    return [number for row in [(1, 1, 1, 1, 0, 1)] * (AXES - len(rows)) + rows for number in row]


def _sizes(channels, outputs, group):
    return group, channels // group, outputs // group


def _few(channels, outputs, group):
    return max(channels, outputs) <= FEW * group


def _tiles(rows, columns):
    return -(-rows // TILE) * -(-columns // TILE)


def _slices(summands, channels, outputs, window, group):
    """How many parts the sum of a weight gradient is cut into, so that the device is full."""
    tiles = group * _tiles(outputs // group, channels // group * window.count)
    return max(1, min(FULL // tiles, summands // SHORTEST)) if tiles else 1
