"""Matrix products."""

from typing import Any

Array = Any


class LinearOps:
    """Products of matrices, and of matrices with vectors of ones."""

    def matmul(
        self, a: Array, b: Array, *, trans_a: bool = False, trans_b: bool = False, out: Array = None, acc: Array = None
    ) -> None:
        """out = op(a) op(b), or acc += op(a) op(b), with op a transposition when asked.

        a, b  2 axes, or 3 with a leading batch axis (which may be 1 in one of them: it is repeated)
        """
        raise NotImplementedError

    def add_bias(self, y: Array, b: Array, axis: int = 1) -> None:
        """y[n, o, ...] += b[o], with o on `axis`."""
        raise NotImplementedError

    def affine(self, x: Array, W: Array, b: Array, out: Array) -> None:
        """out = x Wᵀ + b: x (M, K), W (N, K), b (N,), out (M, N)."""
        raise NotImplementedError

    def bias_gradient(self, dy: Array, acc: Array, axis: int = 1) -> None:
        """acc[o] += Σ dy over all axes but `axis`."""
        raise NotImplementedError
