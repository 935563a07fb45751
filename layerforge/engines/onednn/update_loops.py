"""The update rules as loops: each array is read and written once.

Arrays: w, g, then the histories; all are written, g with what was subtracted from w. Numbers: those of `regular`, then
the rule's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from layerforge.engines.onednn.emitter import Emitter
from layerforge.engines.onednn.loops import Loop

REGULAR = 3  # scale, l2, l1


def regular(e: Emitter, w: Any, g: Any, numbers: Sequence[Any]) -> Any:
    """scale · g + l2 · w + l1 · sign(w)"""
    scale, l2, l1 = numbers[:REGULAR]
    zero = e.zeros()
    sign = e.select(e.fcmp_ordered(">", w, zero), l1, e.select(e.fcmp_ordered("<", w, zero), e.fneg(l1), zero))
    return e.fma(g, scale, e.fma(w, l2, sign))


def _mean_of_squares(e: Emitter, mean: Any, g: Any, decay: Any) -> Any:
    """decay · mean + (1 - decay) · g²"""
    return e.fma(mean, decay, e.fmul(e.fsub(e.number(1.0), decay), e.fmul(g, g)))


def _by_root(e: Emitter, g: Any, h: Any, lr: Any, delta: Any) -> Any:
    """lr · g / (√h + delta)"""
    return e.fmul(e.fdiv(g, e.fadd(e.root(h), delta)), lr)


Rule = Callable[[Emitter, Sequence[Any], Any, Sequence[Any]], tuple[Any, Sequence[Any]]]
"""From the histories, g (regular) and the rule's numbers to what is subtracted from w, and the new histories."""


def _sgd(e: Emitter, history: Sequence[Any], g: Any, numbers: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    """h ← momentum · h + g"""
    h = e.fma(history[0], numbers[0], g)
    return h, [h]


def _nesterov(e: Emitter, history: Sequence[Any], g: Any, numbers: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    """h' = momentum · h + g;  (1 + momentum) · h' - momentum · h"""
    before = e.fmul(history[0], numbers[0])
    h = e.fadd(before, g)
    return e.fma(h, e.fadd(numbers[0], e.number(1.0)), e.fneg(before)), [h]


def _adagrad(e: Emitter, history: Sequence[Any], g: Any, numbers: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    """h ← h + g²"""
    lr, delta = numbers
    h = e.fma(g, g, history[0])
    return _by_root(e, g, h, lr, delta), [h]


def _rmsprop(e: Emitter, history: Sequence[Any], g: Any, numbers: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    """h ← decay · h + (1 - decay) · g²"""
    lr, decay, delta = numbers
    h = _mean_of_squares(e, history[0], g, decay)
    return _by_root(e, g, h, lr, delta), [h]


def _adadelta(e: Emitter, history: Sequence[Any], g: Any, numbers: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    """d = g · √((u + delta) / (h + delta)), with h the mean of g², u of d²"""
    lr, decay, delta = numbers
    h = _mean_of_squares(e, history[0], g, decay)
    moved = e.fmul(g, e.root(e.fdiv(e.fadd(history[1], delta), e.fadd(h, delta))))
    return e.fmul(moved, lr), [h, _mean_of_squares(e, history[1], moved, decay)]


def _adam(e: Emitter, history: Sequence[Any], g: Any, numbers: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    """lr · m / (√v + delta), with m the mean of g, v of g²"""
    lr, beta1, beta2, delta = numbers[:4]
    m = e.fma(history[0], beta1, e.fmul(e.fsub(e.number(1.0), beta1), g))
    v = _mean_of_squares(e, history[1], g, beta2)
    return _by_root(e, m, v, lr, delta), [m, v]


def _loop(rule: Rule, histories: int, numbers: int) -> Callable[[], Loop]:
    def body(e: Emitter, arrays: Sequence[Any], given: Sequence[Any]) -> Sequence[Any]:
        w, g, *history = arrays
        moved, new = rule(e, history, regular(e, w, g, given), given[REGULAR:])
        return [e.fsub(w, moved), moved, *new]

    return lambda: Loop(2 + histories, 2 + histories, REGULAR + numbers, body)


def _adamw() -> Loop:
    """Adam with the decay beside the step. Numbers: scale, l2, l1 (as usual, but times lr), then Adam's."""

    def body(e: Emitter, arrays: Sequence[Any], given: Sequence[Any]) -> Sequence[Any]:
        w, g, *history = arrays
        moved, new = _adam(e, history, e.fmul(g, given[0]), given[REGULAR:])
        moved = regular(e, w, moved, [e.number(1.0), *given[1:REGULAR]])
        return [e.fsub(w, moved), moved, *new]

    return Loop(4, 4, REGULAR + 4, body)


UPDATES: dict[str, Callable[[], Loop]] = {
    "sgd": _loop(_sgd, 1, 1),
    "nesterov": _loop(_nesterov, 1, 1),
    "adagrad": _loop(_adagrad, 1, 2),
    "rmsprop": _loop(_rmsprop, 1, 3),
    "adadelta": _loop(_adadelta, 2, 3),
    "adam": _loop(_adam, 2, 4),
    "adamw": _adamw,
}
