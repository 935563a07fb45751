"""Position-sensitive pooling in CUDA C."""

import numpy as np

from layerforge.backends.cupy.kernels import blocks
from layerforge.backends.ops.position_sensitive import PositionSensitiveOps


class CupyPositionSensitiveOps(PositionSensitiveOps):
    def ps_roi_pool(self, x, batch, regions, scale, *, out):
        _run(self.kernels, "ps_roi_pool", x, batch, regions, out, len(x), out.shape, x.shape, scale)

    def ps_roi_pool_gradient(self, dy, batch, regions, scale, *, out):
        _run(self.kernels, "ps_roi_pool_gradient", dy, batch, regions, out, len(batch), dy.shape, out.shape, scale)


def _run(kernels, kernel, source, batch, regions, out, items, pooled, plane, scale):
    """One thread for each number of `out`."""
    if out.size:
        sizes = out.size, items, pooled[1], pooled[2], *plane[2:], np.float64(scale)
        arrays = source, batch, regions, out
        kernels.launch("position_sensitive.cu", kernel, blocks(out.size), *arrays, *sizes, dtype=out.dtype)
