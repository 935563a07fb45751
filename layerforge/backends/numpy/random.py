"""Random bits on the host."""

import numpy as np

from layerforge.backends.ops.random import RandomOps


class NumpyRandomOps(RandomOps):
    def random_bits(self, key, draw, out):
        raw = np.random.Philox(key=np.array(key, np.uint64), counter=draw << 192).random_raw((out.size + 1) // 2)
        out.reshape(-1)[:] = raw.view(np.uint32)[: out.size]
