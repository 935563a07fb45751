"""Random bits on the device."""

import numpy as np

from layerforge.backends.cupy.kernels import blocks
from layerforge.backends.ops.random import RandomOps


class CupyRandomOps(RandomOps):
    def random_bits(self, key, draw, out):
        if out.size:
            words = np.uint64(key[0]), np.uint64(key[1])
            row, number = self.kernels.changing(np.uint64, (draw,), key)
            grid = blocks(-(-out.size // 8))
            self.kernels.launch("random.cu", "random_bits", grid, out, out.size, *words, row, *number)
