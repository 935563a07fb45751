"""Regions and places in CUDA C."""

from layerforge.backends.cupy.kernels import MOST_BLOCKS, blocks
from layerforge.backends.ops.regions import RegionOps


class CupyRegionOps(RegionOps):
    def roi_pool(self, x, batch, regions, scale, *, out, index):
        if out.size:
            sizes = out.size, *x.shape[1:], *out.shape[2:]
            _run(self.kernels, "roi_pool", out.size, x, batch, regions, out, index, *sizes, float(scale), dtype=x.dtype)

    def roi_pool_gradient(self, dy, batch, index, *, out):
        planes, size = out.shape[0] * out.shape[1], out.shape[2] * out.shape[3]
        if out.size:
            sizes = planes, out.shape[1], size, len(batch), dy.shape[2] * dy.shape[3]
            grid = min(planes, MOST_BLOCKS)
            self.kernels.launch("regions.cu", "roi_pool_gradient", grid, dy, batch, index, out, *sizes, dtype=out.dtype)

    def unpool(self, x, index, *, out):
        if out.size:
            _run(self.kernels, "unpool_clear", out.size, out, out.size, dtype=out.dtype)
            _run(self.kernels, "unpool_claim", x.size, index, out, x.size, *_planes(x, out), dtype=out.dtype)
            _run(self.kernels, "unpool_fill", out.size, x, out, out.size, dtype=out.dtype)

    def unpool_gradient(self, dy, index, *, out):
        if out.size:
            sizes = out.size, *_planes(out, dy)
            _run(self.kernels, "unpool_gradient", out.size, dy, index, out, *sizes, dtype=out.dtype)


def _run(kernels, kernel, count, *arguments, dtype):
    kernels.launch("regions.cu", kernel, blocks(count), *arguments, dtype=dtype)


def _planes(pooled, full):
    """The sizes of a plane of each."""
    return pooled.shape[2] * pooled.shape[3], full.shape[2] * full.shape[3]
