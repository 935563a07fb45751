"""Random bits on the host."""

from collections.abc import Iterator

import numpy as np

from layerforge.backends.ops.random import RandomOps

PORTION = 1 << 15  # words drawn at once, which stay in the cache; an even number


class NumpyRandomOps(RandomOps):
    def random_bits(self, key, draw, out):
        target = out.reshape(-1)
        for part, drawn in words(key, draw, out.size):
            target[part] = drawn


def words(key: tuple[int, int], draw: int, count: int) -> Iterator[tuple[slice, np.ndarray]]:
    """The first `count` 32-bit words of a draw, in portions with their places."""
    source = np.random.Philox(key=np.array(key, np.uint64), counter=draw << 192)
    for start in range(0, count, PORTION):
        size = min(PORTION, count - start)
        yield slice(start, start + size), source.random_raw((size + 1) // 2).view(np.uint32)[:size]
