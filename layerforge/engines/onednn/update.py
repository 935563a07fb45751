"""The update rules in one sweep over memory."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.backends.numpy.update import NumpyUpdateOps
from layerforge.core.threads import count
from layerforge.engines.onednn.compiled import compiler, loop

WIDTH = 16
LEAST = 256  # vectors that a thread of its own is worth


class CompiledUpdateOps(NumpyUpdateOps):  # type: ignore[misc]
    """NumPy's rules by compiled loops, for float32."""

    def update_sgd(
        self, w: Any, g: Any, h: Any, *, lr: float, momentum: float, scale: float = 1.0, l2: float = 0.0,
        l1: float = 0.0,
    ) -> None:
        if not _sweep("sgd", (w, g, h), (lr * scale, lr * l2, lr * l1, momentum)):
            super().update_sgd(w, g, h, lr=lr, momentum=momentum, scale=scale, l2=l2, l1=l1)

    def update_nesterov(
        self, w: Any, g: Any, h: Any, *, lr: float, momentum: float, scale: float = 1.0, l2: float = 0.0,
        l1: float = 0.0,
    ) -> None:
        if not _sweep("nesterov", (w, g, h), (lr * scale, lr * l2, lr * l1, momentum)):
            super().update_nesterov(w, g, h, lr=lr, momentum=momentum, scale=scale, l2=l2, l1=l1)

    def update_adagrad(
        self, w: Any, g: Any, h: Any, *, lr: float, delta: float, scale: float = 1.0, l2: float = 0.0, l1: float = 0.0
    ) -> None:
        if not _sweep("adagrad", (w, g, h), (scale, l2, l1, lr, delta)):
            super().update_adagrad(w, g, h, lr=lr, delta=delta, scale=scale, l2=l2, l1=l1)

    def update_rmsprop(
        self, w: Any, g: Any, h: Any, *, lr: float, decay: float, delta: float, scale: float = 1.0, l2: float = 0.0,
        l1: float = 0.0,
    ) -> None:
        if not _sweep("rmsprop", (w, g, h), (scale, l2, l1, lr, decay, delta)):
            super().update_rmsprop(w, g, h, lr=lr, decay=decay, delta=delta, scale=scale, l2=l2, l1=l1)

    def update_adadelta(
        self, w: Any, g: Any, h: Any, u: Any, *, lr: float, decay: float, delta: float, scale: float = 1.0,
        l2: float = 0.0, l1: float = 0.0,
    ) -> None:
        if not _sweep("adadelta", (w, g, h, u), (scale, l2, l1, lr, decay, delta)):
            super().update_adadelta(w, g, h, u, lr=lr, decay=decay, delta=delta, scale=scale, l2=l2, l1=l1)

    def update_adam(
        self, w: Any, g: Any, m: Any, v: Any, *, lr: float, correction: float, beta1: float, beta2: float,
        delta: float, decoupled: bool = False, scale: float = 1.0, l2: float = 0.0, l1: float = 0.0,
    ) -> None:
        name, beside = ("adamw", lr) if decoupled else ("adam", 1.0)
        if not _sweep(name, (w, g, m, v), (scale, beside * l2, beside * l1, lr * correction, beta1, beta2, delta)):
            super().update_adam(w, g, m, v, lr=lr, correction=correction, beta1=beta1, beta2=beta2, delta=delta,
                                decoupled=decoupled, scale=scale, l2=l2, l1=l1)


class _Rule:
    """The loop of one rule, with its slots."""

    def __init__(self, name: str) -> None:
        found = compiler()
        assert found is not None
        self._compiler, self._code = found, loop(name, WIDTH)
        self._numbers: tuple[float, ...] = ()
        self._table = self._slots = np.empty(0)

    def run(self, arrays: Sequence[np.ndarray], numbers: tuple[float, ...]) -> None:
        """Changes all of the arrays."""
        if numbers != self._numbers:
            self._table = np.empty((len(numbers), WIDTH), np.float32)
            self._table[...] = np.asarray(numbers)[:, None]
            start = self._table.ctypes.data
            constants = [start + 4 * WIDTH * i for i in range(len(numbers))]
            self._slots = np.array([1, 1, 0, 1, *(0 for _ in (*arrays, *arrays)), *constants], np.int64)
            self._numbers = numbers
        size = arrays[0].size
        whole = size // WIDTH
        rest = size - whole * WIDTH
        if whole:
            self._sweep(whole, [each.ctypes.data for each in arrays])
        if rest:
            last = np.zeros((len(arrays), WIDTH), np.float32)
            ends = [each.reshape(-1)[whole * WIDTH :] for each in arrays]
            for row, end in zip(last, ends):
                row[:rest] = end
            self._sweep(1, [last.ctypes.data + 4 * WIDTH * i for i in range(len(arrays))])
            for row, end in zip(last, ends):
                end[...] = row[:rest]

    def _sweep(self, vectors: int, places: list[int]) -> None:
        slots, several = self._slots, len(places)
        slots[2:4] = vectors, max(1, min(vectors // LEAST, 4 * count()))
        slots[4 : 4 + 2 * several] = places + places
        self._compiler.run(self._code, slots, alone=vectors < 2 * LEAST)


_rule = functools.cache(_Rule)


def _sweep(name: str, arrays: Sequence[np.ndarray], numbers: tuple[float, ...]) -> bool:
    """Runs the loop over the arrays, all of which it changes; False where it cannot."""
    if any(each.dtype != np.float32 or not each.flags.c_contiguous for each in arrays):
        return False
    _rule(name).run(arrays, numbers)
    return True
