"""Comparing and moving planes by displacements."""

from typing import Any

Array = Any


class FlowOps:
    """a, b, x (N, C, H, W)"""

    def correlate(
        self, a: Array, b: Array, *, pad: int, kernel: int, reach: int, stride: int, step: int, subtract: bool,
        out: Array,
    ) -> None:
        """out[n, (v, u), p, q] = the mean over channels and window of a · b moved by (v, u), or of |a - b|.

        out  (N, D², Ho, Wo) with D = 2 ⌊reach/step⌋ + 1. The displacements v (down), then u (across) run from
             -⌊reach/step⌋ step to ⌊reach/step⌋ step. On planes with `pad` zeros around, window (p, q) has its corner at
             (reach + stride p, reach + stride q) in a and is kernel × kernel large, kernel odd.
        """
        raise NotImplementedError

    def correlate_gradient(
        self, dy: Array, a: Array, b: Array, *, pad: int, kernel: int, reach: int, stride: int, step: int,
        subtract: bool, out_a: Array, out_b: Array,
    ) -> None:
        """The gradients of a and b; either may be None. The derivative of |a - b| at 0 is 0."""
        raise NotImplementedError

    def warp(self, x: Array, flow: Array, *, fill: float, out: Array) -> None:
        """out[n, c, p, q] = x[n, c] between its four neighbours around (p + flow[n,1,p,q], q + flow[n,0,p,q]).

        flow  (N, 2, H, W): across, then down. Places outside 0 ≤ place < size give `fill`; the neighbour behind the
              last row or column is that row or column itself.
        """
        raise NotImplementedError

    def warp_gradient(self, dy: Array, x: Array, flow: Array, *, out_x: Array, out_flow: Array) -> None:
        """The gradients of x and of flow; either may be None. Places outside have none."""
        raise NotImplementedError
