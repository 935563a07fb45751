"""Maximum, average and stochastic pooling of planes."""

from typing import Any

from layerforge.core.window import Window

Array = Any


class PoolingOps:
    """Shapes in this file

    x, dx   (N, C, H, W)
    y, dy   (N, C, Ho, Wo)     the caller decides the rounding: a last window may hang over the padded plane

    Window (p, q) covers the rows stride·p - pad … + kernel - 1 and the columns likewise; what lies outside the plane
    takes no part. Dilation is 1. `index` is int32 of y's shape and holds places in the plane, h·W + w.
    """

    def max_pool(self, x: Array, window: Window, *, out: Array, index: Array = None) -> None:
        """out = the largest value of each window, index = its place: of equal values the first in row order.

        NaN never wins. A window without a value above the lowest finite number gives that number and index -1.
        """
        raise NotImplementedError

    def max_pool_gradient(self, dy: Array, index: Array, window: Window, *, out: Array) -> None:
        """out = zeros, then out[n,c,index[n,c,p]] += dy[n,c,p] wherever index is not -1; out has x's shape."""
        raise NotImplementedError

    def average_pool(self, x: Array, window: Window, *, out: Array, count_padding: bool = True) -> None:
        """out = the sum of each window ÷ its size.

        count_padding  the size is that of the window cut at size + pad_end (Caffe's rule: padding counts, the overhang
                       does not); else the number of values inside the plane; never less than 1
        """
        raise NotImplementedError

    def average_pool_gradient(self, dy: Array, window: Window, *, out: Array, count_padding: bool = True) -> None:
        """out[n,c,q] = Σ dy[n,c,p] ÷ size of p, over the windows p that cover q; out has x's shape."""
        raise NotImplementedError

    def stochastic_pool(self, x: Array, window: Window, uniform: Array, *, out: Array, index: Array) -> None:
        """Draws one value of each window with a probability proportional to it; x ≥ 0, no padding.

        The first value in row order whose running sum reaches uniform · total; uniform has y's shape, in [0, 1).
        """
        raise NotImplementedError

    def weighted_pool(self, x: Array, window: Window, *, out: Array) -> None:
        """out = Σ x² ÷ Σ x per window, 0 where the sum is not positive: what stochastic_pool gives on average."""
        raise NotImplementedError
