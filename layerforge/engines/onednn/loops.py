"""What the loops of normalisations and sums do with the values that they have read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from layerforge.engines.onednn.emitter import Emitter, Loop, Made
from layerforge.engines.onednn.update_loops import UPDATES


def _normalised(e: Emitter, x: Any, channels: Sequence[Any]) -> Any:
    """(x - center) · factor + offset: one form everywhere, so that signs agree."""
    center, factor, offset = channels[:3]
    return e.fma(e.fsub(x, center), factor, offset)


def _moments() -> Loop:
    """Σ x, Σ x²"""
    return Loop(1, 0, 0, 2, lambda e, x, _: Made((), [(x[0], None), (x[0], x[0])]))


def _normalise(relu: bool, added: bool) -> Loop:
    """y = relu((x - center) · factor + offset + other)"""

    def body(e: Emitter, arrays: Sequence[Any], channels: Sequence[Any]) -> Made:
        y = _normalised(e, arrays[0], channels)
        y = e.fadd(y, arrays[1]) if added else y
        return Made([e.relu(y) if relu else y])

    return Loop(1 + added, 1, 3, 0, body)


def _gradient_sums(relu: bool) -> Loop:
    """Σ dy', Σ dy' · x, where dy' is dy behind the ReLU, whose output follows from x"""

    def body(e: Emitter, arrays: Sequence[Any], channels: Sequence[Any]) -> Made:
        x, dy = arrays
        dy = e.where_positive(_normalised(e, x, channels), dy) if relu else dy
        return Made((), [(dy, None), (dy, x)])

    return Loop(2, 0, 3, 2, body)


def _gradient(relu: bool) -> Loop:
    """dx = a · dy' + b · (x - center) + c"""

    def body(e: Emitter, arrays: Sequence[Any], channels: Sequence[Any]) -> Made:
        x, dy = arrays
        dy = e.where_positive(_normalised(e, x, channels), dy) if relu else dy
        center, _, _, a, b, c = channels
        return Made([e.fma(dy, a, e.fma(e.fsub(x, center), b, c))])

    return Loop(2, 1, 6, 0, body)


def _summed(e: Emitter, values: Sequence[Any]) -> Any:
    total = values[0]
    for value in values[1:]:
        total = e.fadd(total, value)
    return total


def _gathered(count: int, relu: bool) -> Loop:
    """dx = Σ dy_i, where y > 0"""

    def body(e: Emitter, arrays: Sequence[Any], channels: Sequence[Any]) -> Made:
        total = _summed(e, arrays[:count])
        return Made([e.where_positive(arrays[count], total) if relu else total])

    return Loop(count + relu, 1, 0, 0, body)


def _gathered_sums(count: int, relu: bool) -> Loop:
    """dy' = Σ dy_i where y > 0; Σ dy', Σ dy' · x"""

    def body(e: Emitter, arrays: Sequence[Any], channels: Sequence[Any]) -> Made:
        x, total = arrays[0], _summed(e, arrays[1 : 1 + count])
        total = e.where_positive(arrays[-1], total) if relu else total
        return Made([total], [(total, None), (total, x)])

    return Loop(1 + count + relu, 1, 0, 2, body)


LOOPS: dict[str, Callable[..., Loop]] = {
    "moments": _moments,
    "normalise": _normalise,
    "gradient_sums": _gradient_sums,
    "gradient": _gradient,
    "gathered": _gathered,
    "gathered_sums": _gathered_sums,
    **UPDATES,
}
"""Name → the loop, by its options."""
