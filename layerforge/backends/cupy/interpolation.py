"""Bilinear interpolation in CUDA C."""

from layerforge.backends.cupy.kernels import blocks
from layerforge.backends.ops.interpolation import InterpolationOps


class CupyInterpolationOps(InterpolationOps):
    def bilinear(self, x, begin, end, *, out):
        _run(self.kernels, "bilinear", x, out, x.shape, out.shape, begin, end)

    def bilinear_gradient(self, dy, begin, end, *, out):
        _run(self.kernels, "bilinear_gradient", dy, out, out.shape, dy.shape, begin, end)


def _run(kernels, kernel, source, target, x_shape, y_shape, begin, end):
    if target.size:
        sizes = target.size, x_shape[2], y_shape[2], x_shape[3], y_shape[3], begin, end
        kernels.launch("interpolation.cu", kernel, blocks(target.size), source, target, *sizes, dtype=target.dtype)
