"""Random bits from the counter-based generator of core.random."""

from typing import Any

Array = Any


class RandomOps:
    """Philox4x64-10 on the device: the same bits on every backend."""

    def random_bits(self, key: tuple[int, int], draw: int, out: Array) -> None:
        """Fills out (uint32, any shape) with the bits of draw number `draw` of the stream with this key.

        Word i of out is the low (even i) or high (odd i) half of 64-bit output i // 2 of Philox with
        counter (0, 0, 0, draw), as `numpy.random.Philox(key=key, counter=draw << 192).random_raw()` gives them.
        """
        raise NotImplementedError
