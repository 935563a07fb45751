"""Window: what slides over the spatial axes of a blob. One value for convolution, pooling and their kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Kernel, stride, padding and dilation, one number per spatial axis (any number of axes, also none).

    pad      zeros before the first value of each axis
    pad_end  zeros behind the last one; as many as `pad` unless given
    """

    kernel: Axes
    stride: Axes
    pad: Axes
    dilation: Axes
    pad_end: Axes

    @staticmethod
    def make(
        kernel: Sequence[int],
        stride: Sequence[int] | int = 1,
        pad: Sequence[int] | int = 0,
        dilation: Sequence[int] | int = 1,
        pad_end: Sequence[int] | int | None = None,
    ) -> Window:
        """A window from numbers per axis; one number stands for all axes."""

        def each(value: Sequence[int] | int) -> Axes:
            return (value,) * len(kernel) if isinstance(value, int) else tuple(value)

        before = each(pad)
        return Window(tuple(kernel), each(stride), before, each(dilation), before if pad_end is None else each(pad_end))

    @property
    def count(self) -> int:
        """The number of kernel positions."""
        return math.prod(self.kernel)

    @property
    def extent(self) -> Axes:
        """What the kernel spans with its holes: dilation (kernel - 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation))

    @property
    def pointwise(self) -> bool:
        """Whether the window is one value that visits every position: im2col is then the identity."""
        return self.count == 1 and not self.padded and all(s == 1 for s in self.stride)

    @property
    def padded(self) -> bool:
        """Whether any axis has padding."""
        return any(self.pad) or any(self.pad_end)

    def padded_shape(self, sizes: Sequence[int]) -> Axes:
        """The sizes with their padding."""
        return tuple(n + p + q for n, p, q in zip(sizes, self.pad, self.pad_end))

    def fits(self, sizes: Sequence[int]) -> bool:
        """Whether the kernel lies within the padded sizes."""
        return all(n >= e for n, e in zip(self.padded_shape(sizes), self.extent))

    def out_shape(self, sizes: Sequence[int]) -> Axes:
        """How many positions the window takes: ⌊(size + pad + pad_end - extent) / stride⌋ + 1."""
        return tuple((n - e) // s + 1 for n, e, s in zip(self.padded_shape(sizes), self.extent, self.stride))

    def in_shape(self, sizes: Sequence[int]) -> Axes:
        """The least size that gives so many positions: stride (size - 1) + extent - pad - pad_end (deconvolution)."""
        spread = zip(sizes, self.stride, self.extent, self.pad, self.pad_end)
        return tuple(s * (n - 1) + e - p - q for n, s, e, p, q in spread)
