"""Convolution and its two gradients, over any number of spatial axes."""

from collections.abc import Sequence
from typing import Any

from layerforge.core.window import Window

Array = Any


class ConvolutionOps:
    """Shapes in this file

    x   (N, C, *in)            C divisible by group
    w   (O, C/group, *kernel)  O divisible by group
    y   (N, O, *out)           out = window.out_shape(in)

    Output channel o of group g sees only the input channels of group g. `scratch` is a flat array of x's dtype with at
    least `conv_scratch(...)` values; anything may be in it before and after.
    """

    def conv_scratch(self, x_shape: Sequence[int], outputs: int, window: Window, group: int = 1) -> int:
        """How many values of scratch the three methods need for x of this shape and O = outputs."""
        raise NotImplementedError

    def conv(
        self, x: Array, w: Array, window: Window, *, group: int = 1, bias: Array = None, out: Array, scratch: Array
    ) -> None:
        """out[n,o,p] = bias[o] + Σ_c,k w[o,c,k] x[n,c, stride p + dilation k - pad], zeros outside x.

        bias  (O,) or None
        """
        raise NotImplementedError

    def conv_data_gradient(
        self, dy: Array, w: Array, window: Window, *, group: int = 1, out: Array, scratch: Array
    ) -> None:
        """out[n,c,q] = Σ_o,k w[o,c,k] dy[n,o,p] over all p, k with stride p + dilation k - pad = q; out has x's shape.

        With the roles of bottom and top exchanged this is the forward pass of a deconvolution.
        """
        raise NotImplementedError

    def conv_weight_gradient(
        self, x: Array, dy: Array, window: Window, *, group: int = 1, acc: Array, scratch: Array
    ) -> None:
        """acc[o,c,k] += Σ_n,p dy[n,o,p] x[n,c, stride p + dilation k - pad]; acc has w's shape."""
        raise NotImplementedError

    def im2col(self, x: Array, window: Window, *, out: Array) -> None:
        """out[n,(c,k),p] = x[n,c, stride p + dilation k - pad], zeros outside x; out (N, C · kernel, *out)."""
        raise NotImplementedError

    def col2im(self, col: Array, window: Window, *, out: Array) -> None:
        """The transpose of im2col: out[n,c,q] = Σ col[n,(c,k),p] over all p, k with stride p + dilation k - pad = q."""
        raise NotImplementedError
