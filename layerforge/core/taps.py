"""Taps: which values of an axis make up each output of it, and with which weights. Resizing is taps along two axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Taps(NamedTuple):
    """index, weight  (outputs, taps); output i = Σ_t weight[i, t] · value[index[i, t]]"""

    index: np.ndarray  # type: ignore[assignment]  # it hides the tuple's method of this name
    weight: np.ndarray

    def matrix(self, size: int, dtype: Any) -> np.ndarray:
        """The same as a matrix (outputs, size)."""
        dense = np.zeros((len(self.index), size), dtype)
        np.add.at(dense, (np.arange(len(self.index))[:, None], self.index), self.weight)
        return dense


def nearest(places: Sequence[float] | np.ndarray, size: int) -> Taps:
    """One tap at each whole place, moved into 0 … size-1."""
    index = np.clip(np.asarray(places, int), 0, size - 1)[:, None]
    return Taps(index, np.ones(index.shape))


def linear(places: Sequence[float] | np.ndarray, size: int) -> Taps:
    """The two values around each place, weighted by nearness; beyond the ends the last value."""
    place = np.asarray(places, float)
    low = np.floor(place).astype(int)
    index = np.clip(np.stack([low, low + 1], axis=1), 0, size - 1)
    return Taps(index, np.stack([1 - (place - low), place - low], axis=1))


def filtered(
    places: Sequence[float] | np.ndarray, size: int, reach: int, kernel: Callable[[np.ndarray], np.ndarray]
) -> Taps:
    """All values up to `reach` from each rounded place, weighted by kernel(distance).

    The weights of the values inside sum to 1, unless all of them are zero.
    """
    place = np.asarray(places, float)
    index = np.trunc(place + np.copysign(0.5, place)).astype(int)[:, None] + np.arange(-reach, reach + 1)
    weight = np.where((index >= 0) & (index < size), kernel(place[:, None] - index), 0.0)
    total = weight.sum(axis=1, keepdims=True)
    return Taps(np.clip(index, 0, size - 1), np.divide(weight, total, out=np.zeros_like(weight), where=total != 0))
