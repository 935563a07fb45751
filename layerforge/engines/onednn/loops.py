"""Loops that go over memory once: a value of each array read gives a value of each array written.

Slots: rows, rows of a sample (each with numbers of its own), vectors in a row, pieces that a row is cut into; then the
arrays read, written, and those with a number per channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from layerforge.engines.onednn.emitter import INT, Emitter

Body = Callable[[Emitter, Sequence[Any], Sequence[Any]], Sequence[Any]]
"""From vectors of the arrays read, and the numbers per channel, to what is written."""


class Loop(NamedTuple):
    """How many arrays are read, are written, have a number per channel; and the body."""

    reads: int
    writes: int
    channels: int
    body: Body


def module(name: str, loop: Loop, width: int, reduced: bool) -> Any:
    """LLVM's module with the function of this name that runs the loop."""
    e = Emitter(name, width, reduced)
    rows, blocks, inner, pieces = e.slots(4, INT)
    read, written, channels = e.slots(loop.reads), e.slots(loop.writes), e.slots(loop.channels)
    with e.counting(*e.share(e.mul(rows, pieces))) as item:
        row, piece = e.sdiv(item, pieces), e.srem(item, pieces)
        numbers = [e.vector(pointer, e.srem(row, blocks)) for pointer in channels]
        base = e.mul(row, inner)
        start, end = (e.add(base, e.sdiv(e.mul(inner, part), pieces)) for part in (piece, e.add(piece, INT(1))))
        with e.counting(start, end) as i:
            made = loop.body(e, [e.value(pointer, i) for pointer in read], numbers)
            for pointer, value in zip(written, made):
                e.write(value, pointer, i)
    e.ret_void()
    return e.module


def normalised(e: Emitter, x: Any, channels: Sequence[Any]) -> Any:
    """(x - center) · factor + offset: one form everywhere, so that signs agree."""
    center, factor, offset = channels[:3]
    return e.fma(e.fsub(x, center), factor, offset)


def normalise(relu: bool, added: bool) -> Loop:
    """y = relu((x - center) · factor + offset + other)"""

    def body(e: Emitter, arrays: Sequence[Any], channels: Sequence[Any]) -> Sequence[Any]:
        y = normalised(e, arrays[0], channels)
        y = e.fadd(y, arrays[1]) if added else y
        return [e.relu(y) if relu else y]

    return Loop(1 + added, 1, 3, body)


def clip() -> Loop:
    """y = min(max(x, 0), threshold); NaN stays."""

    def body(e: Emitter, arrays: Sequence[Any], channels: Sequence[Any]) -> Sequence[Any]:
        y = e.relu(arrays[0])
        return [e.select(e.fcmp_ordered(">", y, channels[0]), channels[0], y)]

    return Loop(1, 1, 1, body)
