"""Sums of products, in slices that fill the device."""

import numpy as np

from layerforge.backends.cupy.kernels import blocks

FULL = 1024  # blocks that keep the largest device busy
SHORTEST = 4096  # values of a slice that are worth a block


def sum_channels(kernels, a, b, shape, *, out, add):
    """out[c] = Σ_{o,l} a[o,c,l] b[o,c,l], or out[c] += the same; b None: Σ a.

    shape  (outer, channels, length), what a and b are read as
    """
    outer, channels, length = shape
    if not channels:
        return
    width = 32 if length == 1 else 1
    groups = -(-channels // width)
    slices = max(1, min(FULL // groups, outer * length // (SHORTEST // width)))
    part = kernels.room(channels * slices) if slices > 1 else None
    wide = out.dtype == np.float64
    sizes = outer, channels, length, slices, width
    kernels.launch("sums.cu", "sum_slices", groups * slices, a, b, part, out, wide, add, *sizes, dtype=a.dtype)
    if slices > 1:
        sizes = channels, slices
        kernels.launch("sums.cu", "add_slices", blocks(channels), part, out, wide, add, *sizes, dtype=a.dtype)
