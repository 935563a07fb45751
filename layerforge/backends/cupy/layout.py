"""Channels last, and 16-bit numbers, as a representation of Storage on the device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from layerforge.backends.cupy.kernels import MOST_BLOCKS, blocks

SIDE = 32  # of layout.cu
KINDS = {"FP32": (0, np.float32), "BF16": (1, np.uint16), "FP16": (2, np.float16)}
"""Number type → its number in layout.cu, and the type of the array that holds it (NumPy has no bfloat16)."""


@dataclass(frozen=True)
class Form:
    """What makes one layout: blobs with equal forms share it.

    samples, channels, positions   the plain order (N, C, P), P all spatial axes together
    padded                         channels with zeros behind
    """

    samples: int
    channels: int
    positions: int
    padded: int
    kind: str

    @property
    def count(self) -> int:
        return self.samples * self.positions * self.padded


def form_of(shape: Sequence[int], kind: str, padded: int = 0) -> Form:
    """The form of a blob (N, C, *spatial); padded: 0 for no padding."""
    return Form(shape[0], shape[1], math.prod(shape[2:]), padded or shape[1], kind)


class ChannelsLast:
    """(N, P, padded) on one device. Values are moved from and to the plain order there.

    memory, kernels  the plain representation of the device, and its launcher
    """

    plain = False

    def __init__(self, form: Form, memory: Any, kernels: Any) -> None:
        self.form, self.memory, self._kernels = form, memory, kernels
        self.name = f"channels last, {form.kind}"
        self.lossy = np.dtype(KINDS[form.kind][1]).itemsize < 4

    def zeros(self, count: int, dtype: Any) -> Any:
        """The array; the padding stays zero."""
        return self.memory.zeros(self.form.count, np.dtype(KINDS[self.form.kind][1]))

    def to_host(self, source: Any, target: np.ndarray) -> None:
        plain = self.memory.zeros(target.size, target.dtype)
        self.unpack(source, plain)
        self.memory.to_host(plain, target)

    def from_host(self, source: np.ndarray, target: Any) -> None:
        plain = self.memory.zeros(source.size, source.dtype)
        self.memory.from_host(source, plain)
        self.pack(plain, target)

    def convert(self, other: Any, source: Any, target: Any) -> bool:
        """From the plain order, or from another layout through it."""
        if other is self.memory:
            self.pack(source, target)
            return True
        if isinstance(other, ChannelsLast) and _sizes(self.form) == _sizes(other.form):
            cast_numbers(self._kernels, source, other.form.kind, target, self.form.kind)
            return True
        if isinstance(other, ChannelsLast):
            form = other.form
            plain = self._kernels.room(form.samples * form.channels * form.positions)
            plain = plain.view(np.float32)[: form.samples * form.channels * form.positions]
            other.unpack(source, plain)
            self.pack(plain, target)
            return True
        return False

    def pack(self, plain: Any, packed: Any) -> None:
        """packed = plain"""
        self._run("pack", self.form.padded, plain, packed, plain.dtype)

    def unpack(self, packed: Any, plain: Any, add: bool = False) -> None:
        """plain = packed, or plain += packed"""
        self._run("unpack", self.form.channels, packed, plain, plain.dtype, add)

    def _run(self, kernel: str, channels: int, source: Any, target: Any, dtype: Any, *more: Any) -> None:
        form = self.form
        if target.size:
            tiles = form.samples * -(-channels // SIDE) * -(-form.positions // SIDE)
            sizes = form.samples, form.channels, form.padded, form.positions, KINDS[form.kind][0]
            grid = min(tiles, MOST_BLOCKS)
            self._kernels.launch("layout.cu", kernel, grid, source, target, *sizes, *more, dtype=dtype)


def cast_numbers(kernels: Any, source: Any, have: str, target: Any, want: str, add: bool = False) -> None:
    """target = source, or target += source, between kinds of numbers in one order."""
    numbers = KINDS[have][0], target, KINDS[want][0], source.size, add
    kernels.launch("channels_last.cu", "cast_numbers", blocks(source.size), source, *numbers)


def _sizes(form: Form) -> tuple[int, int, int, int]:
    return form.samples, form.channels, form.positions, form.padded
