"""What the layers share that bring each channel to mean 0 and variance 1."""

from __future__ import annotations

from typing import Any

from layerforge.core.blob import View
from layerforge.layers.base import Layer

Array = Any


class BatchStatistics(Layer):
    """y[n,c,l] = γ[c] · (x[n,c,l] - μ[c]) / √(σ²[c] + eps) + β[c]

    x (N, C, ...) is seen as (N, C, L), L being the product of the further axes. γ and β are optional. Statistics are
    added up in double precision, the variance from the differences to the mean.

    With batch statistics (M = N·L, x̂ without γ and β):
        dx = γ / √(σ² + eps) · (dy - Σ dy / M - x̂ · Σ(dy · x̂) / M)
    with kept ones dx = γ / √(σ² + eps) · dy. Both can run in place: the differences to the mean are kept where needed.
    """

    gamma: View | None = None
    beta: View | None = None

    def declare(self, bottom: Any, top: Any, channels: int, batch: bool) -> None:
        """Shapes and buffers.

        batch  statistics are those of the batch
        """
        shape = bottom[0].shape
        self.require(len(shape) >= 2, f"bottom[0] is {shape}, at least two axes are needed")
        self.require(shape[1] == channels, f"bottom[0] has {shape[1]} channels, it had {channels} at first")
        top[0].reshape(shape)
        self.buffers((shape[0], channels, bottom[0].count(2)), batch, top[0].blob is bottom[0].blob)

    def buffers(self, ncl: tuple[int, int, int], batch: bool, in_place: bool) -> None:
        """Declares what the maths needs for x seen as (N, C, L)."""
        self.ncl, channels = ncl, ncl[1]
        self.total = ncl[0] * ncl[2]  # values per channel
        self.batch = batch
        self.centred = self.kept(self.ncl) if batch or self.gamma else None
        self.t = self.scratch(self.ncl) if in_place else None
        self.mean, self.factor, self.small = (self.kept((channels,)) for _ in range(3))
        self.sum64, self.variance, self.inverse = (self.kept((channels,), "float64") for _ in range(3))

    def measure(self, x: Array) -> None:
        """μ, σ² (divided by M) and x - μ of the batch."""
        xp, total, variance = self.xp, self.sum64.data, self.variance.data
        self.ops.channel_sum(x, out=total)
        xp.divide(total, self.total, out=total)
        xp.copyto(self.mean.data, total, casting="same_kind")
        centred = xp.subtract(x, wide(self.mean.data), out=self.centred.data)
        self.ops.channel_dot(centred, centred, out=variance)
        xp.divide(variance, self.total, out=variance)

    def standardize(self, x: Array, y: Array, eps: float, eps_inside: bool = True) -> None:
        """Writes y from μ and σ², which `measure` or the layer has set."""
        xp, inverse, factor = self.xp, self.inverse.data, self.factor.data
        if eps_inside:
            xp.add(self.variance.data, eps, out=inverse)
            xp.sqrt(inverse, out=inverse)
        else:
            xp.sqrt(self.variance.data, out=inverse)
            xp.add(inverse, eps, out=inverse)
        xp.divide(1, inverse, out=inverse)
        xp.copyto(factor, inverse, casting="same_kind")
        if self.gamma:
            xp.multiply(factor, flat(self.gamma.data), out=factor)
        if self.batch:
            centred = self.centred.data
        else:
            centred = xp.subtract(x, wide(self.mean.data), out=self.centred.data if self.centred else y)
        xp.multiply(centred, wide(factor), out=y)
        if self.beta:
            xp.add(y, wide(flat(self.beta.data)), out=y)

    def gradients(self, dy: Array, dx: Array | None) -> None:
        """Adds to the gradients of γ and β, and writes dx unless it is None."""
        xp, total, dot = self.xp, self.sum64.data, self.variance.data  # the variance is in `inverse` by now
        if self.batch or self.gamma:
            self.ops.channel_dot(dy, self.centred.data, out=dot)
            xp.multiply(dot, self.inverse.data, out=dot)  # Σ dy · x̂
            self._add(self.gamma, dot)
        if self.batch or self.beta:
            self.ops.channel_sum(dy, out=total)
            self._add(self.beta, total)
        if dx is None:
            return
        if self.batch:
            source = self.t.data if self.t else dx
            small = self.small.data
            xp.multiply(dot, self.inverse.data, out=dot)
            xp.divide(dot, -self.total, out=small, casting="same_kind")
            xp.multiply(self.centred.data, wide(small), out=source)
            xp.divide(total, self.total, out=small, casting="same_kind")
            xp.subtract(source, wide(small), out=source)
            xp.add(source, dy, out=source)
            dy = source
        xp.multiply(dy, wide(self.factor.data), out=dx)

    def _add(self, view: View | None, values: Array) -> None:
        if view and self.needs_gradient[self.blobs.index(view)]:
            diff = flat(view.diff)
            self.xp.add(diff, values, out=diff, casting="same_kind")


def wide(values: Array) -> Array:
    """(C,) as (1, C, 1)."""
    return values.reshape(1, -1, 1)


def flat(values: Array) -> Array:
    """(1, C, 1, 1) as (C,)."""
    return values.reshape(-1)
