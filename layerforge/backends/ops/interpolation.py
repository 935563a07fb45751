"""Bilinear interpolation of planes."""

from typing import Any

Array = Any


class InterpolationOps:
    """x, dx (N, C, H, W)      y, dy (N, C, Ho, Wo)

    Of each input axis `begin` values at the start and `end` values at the end are cut off first, which leaves n.
    Corners are aligned: output i lies at begin + i (n - 1) / (outputs - 1), a single output at `begin`.
    """

    def bilinear(self, x: Array, begin: int, end: int, *, out: Array) -> None:
        """out[p, q] = the mean of the four values of x around the place of (p, q), weighted by nearness."""
        raise NotImplementedError

    def bilinear_gradient(self, dy: Array, begin: int, end: int, *, out: Array) -> None:
        """The transpose: each dy is shared out over its four values; zeros where x was cut off."""
        raise NotImplementedError
