"""Maximum, average and stochastic pooling in CUDA C."""

from layerforge.backends.cupy.kernels import blocks
from layerforge.backends.ops.pooling import PoolingOps


class CupyPoolingOps(PoolingOps):
    def max_pool(self, x, window, *, out, index=None):
        _pool(self.kernels, "max_pool", window, x, out, (x, out, index), out)

    def max_pool_gradient(self, dy, index, window, *, out):
        _pool(self.kernels, "max_pool_gradient", window, out, dy, (dy, index, out), out)

    def average_pool(self, x, window, *, out, count_padding=True):
        _pool(self.kernels, "average_pool", window, x, out, (x, out), out, count_padding)

    def average_pool_gradient(self, dy, window, *, out, count_padding=True):
        _pool(self.kernels, "average_pool_gradient", window, out, dy, (dy, out), out, count_padding)

    def stochastic_pool(self, x, window, uniform, *, out, index):
        _pool(self.kernels, "stochastic_pool", window, x, out, (x, uniform, out, index), out)

    def weighted_pool(self, x, window, *, out):
        _pool(self.kernels, "weighted_pool", window, x, out, (x, out), out)


def _pool(kernels, kernel, window, plane, pooled, arrays, out, *more):
    """One thread for each number of `out`."""
    geometry = [
        number
        for axis in range(2)
        for number in (
            plane.shape[2 + axis],
            pooled.shape[2 + axis],
            window.kernel[axis],
            window.stride[axis],
            window.pad[axis],
            window.pad_end[axis],
        )
    ]
    if out.size:
        kernels.launch(
            "pooling.cu", kernel, blocks(out.size), *arrays, out.size, *geometry, *more, dtype=out.dtype
        )
