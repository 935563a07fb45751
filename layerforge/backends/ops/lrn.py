"""Local response normalisation across channels."""

from typing import Any

Array = Any


class LrnOps:
    """x, y, scale (N, C, *spatial). The neighbours of channel c are c - ⌊size/2⌋ … c + ⌊size/2⌋, where they exist.

    size  odd
    """

    def lrn(self, x: Array, *, size: int, alpha: float, beta: float, k: float, out: Array, scale: Array) -> None:
        """scale[c] = k + alpha/size Σ x[c']² over the neighbours c';  out = x · scale^-beta"""
        raise NotImplementedError

    def lrn_gradient(
        self, dy: Array, x: Array, scale: Array, *, size: int, alpha: float, beta: float, out: Array
    ) -> None:
        """out[c] = dy[c] scale[c]^-beta - 2 alpha beta/size · x[c] Σ dy[c'] x[c'] scale[c']^(-beta-1)

        The sum runs over the neighbours c' of c.
        scale  as `lrn` left it
        """
        raise NotImplementedError
