"""Softmax in CUDA C."""

from layerforge.backends.cupy.kernels import MOST_BLOCKS
from layerforge.backends.ops.softmax import SoftmaxOps


class CupySoftmaxOps(SoftmaxOps):
    def softmax(self, x, *, out):
        _columns(self.kernels, "softmax", x, out)

    def softmax_gradient(self, y, dy, *, out):
        _columns(self.kernels, "softmax_gradient", y, dy, out)


def _columns(kernels, kernel, *arrays):
    outer, channels, inner = arrays[-1].shape
    columns, width = outer * inner, 1 if inner == 1 else 32  # columns of one block
    if columns and channels:
        grid = min(-(-columns // width), MOST_BLOCKS)
        kernels.launch(
            "softmax.cu", kernel, grid, *arrays, columns, channels, inner, width, dtype=arrays[-1].dtype
        )
