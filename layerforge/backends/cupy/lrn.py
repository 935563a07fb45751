"""Local response normalisation in CUDA C."""

import math

from layerforge.backends.cupy.kernels import blocks
from layerforge.backends.ops.lrn import LrnOps


class CupyLrnOps(LrnOps):
    def lrn(self, x, *, size, alpha, beta, k, out, scale):
        _run(self.kernels, "lrn", (x, out, scale), size, float(alpha) / size, float(beta), float(k))

    def lrn_gradient(self, dy, x, scale, *, size, alpha, beta, out):
        factor = 2 * float(alpha) * float(beta) / size
        _run(self.kernels, "lrn_gradient", (dy, x, scale, out), size, factor, float(beta))


def _run(kernels, kernel, arrays, size, *numbers):
    x = arrays[0]
    if x.size:
        sizes = x.size, x.shape[1], math.prod(x.shape[2:]), size
        kernels.launch("lrn.cu", kernel, blocks(x.size), *arrays, *sizes, *numbers, dtype=x.dtype)
