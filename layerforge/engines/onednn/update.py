"""The update rules in one sweep over memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.backends.numpy.update import NumpyUpdateOps
from layerforge.core.threads import count
from layerforge.engines.onednn.compiled import compiler, loop

WIDTH = 16
LEAST = 64  # vectors in a piece of work


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


def _sweep(name: str, arrays: Sequence[np.ndarray], numbers: Sequence[float]) -> bool:
    """Runs the loop over the arrays, all of which it changes; False where it cannot."""
    found = compiler()
    fit = all(each.dtype == np.float32 and each.flags.c_contiguous for each in arrays)
    if found is None or not fit:
        return False
    code, size = loop(name, WIDTH), arrays[0].size
    table = np.empty((len(numbers), WIDTH), np.float32)
    table[...] = np.asarray(numbers)[:, None]
    whole = size // WIDTH
    places = [each.ctypes.data for each in arrays]
    constants = [table.ctypes.data + 4 * WIDTH * i for i in range(len(numbers))]
    if whole:
        pieces = max(1, min(whole // LEAST, 4 * count()))
        found.run(code, np.array([1, 1, whole, pieces, *places, *places, *constants], np.int64))
    rest = size - whole * WIDTH
    if rest:
        ends = [each.reshape(-1)[whole * WIDTH :] for each in arrays]
        last = np.zeros((len(arrays), WIDTH), np.float32)
        for row, end in zip(last, ends):
            row[:rest] = end
        places = [last.ctypes.data + 4 * WIDTH * i for i in range(len(arrays))]
        found.run(code, np.array([1, 1, 1, 1, *places, *places, *constants], np.int64))
        for row, end in zip(last, ends):
            end[...] = row[:rest]
    return True
