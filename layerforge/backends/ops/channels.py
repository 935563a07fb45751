"""Sums over all axes but one, accumulated in double precision."""

from typing import Any

Array = Any


class ChannelOps:
    """Sums of (N, C, L) arrays that leave C. Statistics depend on them: float32 values are added in float64.

    Sums of up to 256 values or products may be float32 before they are added in float64.
    """

    def channel_sum(self, x: Array, *, out: Array = None, acc: Array = None) -> None:
        """out[c] = Σ_{n,l} x[n,c,l], or acc[c] += the same.

        out, acc  (C,), float32 or float64
        """
        raise NotImplementedError

    def channel_dot(self, a: Array, b: Array, *, out: Array = None, acc: Array = None) -> None:
        """out[c] = Σ_{n,l} a[n,c,l] b[n,c,l], or acc[c] += the same; a and b may be one array."""
        raise NotImplementedError
