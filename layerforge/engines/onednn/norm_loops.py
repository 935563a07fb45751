"""Normalisation by two sweeps with sums per channel between them, group by group of channels, so that the second sweep
finds in the cache what the first has read.

Slots: samples, blocks of channels, vectors in a row, pieces that a row is cut into, blocks of a group; the values of a
channel and eps in float64; then the arrays, those with a float32 number per channel, those with a float64 one, and the
sums (blocks, samples, pieces, width), one array for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from layerforge.engines.onednn.emitter import DOUBLE, INT, Emitter
from layerforge.engines.onednn.loops import normalised

UNROLLED = 2  # vectors at once, each with sums of its own, so that additions need not wait for one another
SUMS = 2
CENTER, FACTOR, OFFSET, GAMMA, BETA, SLOPE, TILT, LEVEL = range(8)  # float32 numbers per channel
MEAN, VARIANCE, INVERSE, SCALE, SHIFT = range(5)  # float64 numbers per channel
Values = Sequence[Any]


class Swept(NamedTuple):
    """What a sweep makes of one vector of each array: (array, value) to write; pairs whose products are added up (None:
    the value itself)."""

    written: Sequence[tuple[int, Any]] = ()
    added: Sequence[tuple[Any, Any]] = ()


class Norm(NamedTuple):
    """How many arrays there are; which the sweeps read; the sweeps; what follows from the sums.

    numbers  how many float32 numbers per channel a sweep may read
    """

    arrays: int
    reads: tuple[Sequence[int], Sequence[int]]
    first: Callable[[Emitter, Any, Values], Swept]
    settle: Callable[[Emitter, Values, Any, Any, Values, Values], tuple[dict[int, Any], dict[int, Any]]]
    second: Callable[[Emitter, Any, Values], Swept] | None


class _Sweeper:
    """Writes a sweep over the rows of one group."""

    def __init__(self, e: Emitter, norm: Norm) -> None:
        self.e, self.norm = e, norm
        self.samples, self.blocks, self.inner, self.pieces, self.group = e.slots(5, INT)
        self.total, self.eps = (e.spread(number) for number in e.slots(2, DOUBLE))
        self.arrays, self.singles, self.doubles = e.slots(norm.arrays), e.slots(LEVEL + 1), e.slots(SHIFT + 1)
        self.sums = e.slots(SUMS)
        self.per_block = e.mul(self.samples, self.pieces)
        self.totals = [[e.alloca(e.double) for _ in range(SUMS)] for _ in range(UNROLLED)]

    def sweep(self, first: Any, share: tuple[Any, Any], reads: Sequence[int], body: Any, adds: bool) -> None:
        """The items of a thread: pieces of rows, block by block."""
        e = self.e
        with e.counting(*share) as item:
            block, rest = e.add(first, e.sdiv(item, self.per_block)), e.srem(item, self.per_block)
            row = e.add(e.mul(e.sdiv(rest, self.pieces), self.blocks), block)
            piece = e.srem(rest, self.pieces)
            numbers = [e.vector(pointer, block) for pointer in self.singles]
            base = e.mul(row, self.inner)
            start, end = (
                e.add(base, e.sdiv(e.mul(self.inner, part), self.pieces)) for part in (piece, e.add(piece, INT(1)))
            )

            def one(i: Any, totals: Values) -> None:
                made = body(e, {k: e.value(self.arrays[k], i) for k in reads}, numbers)
                for k, value in made.written:
                    e.write(value, self.arrays[k], i)
                for total, (a, b) in zip(totals, made.added):
                    a, old = e.wide(a), e.load(total)
                    e.store(e.fadd(old, a) if b is None else e.fma(a, e.wide(b), old), total)

            for each in self.totals:
                for total in each:
                    e.store(e.zeros(e.double), total)
            whole = e.sub(end, e.srem(e.sub(end, start), INT(UNROLLED)))
            with e.counting(start, whole, INT(UNROLLED)) as i:
                for k in range(UNROLLED):
                    one(e.add(i, INT(k)), self.totals[k])
            with e.counting(whole, end) as i:
                one(i, self.totals[0])
            for k, pointer in enumerate(self.sums if adds else ()):
                total = e.load(self.totals[0][k])
                for each in self.totals[1:]:
                    total = e.fadd(total, e.load(each[k]))
                e.put(total, pointer, e.add(e.mul(first, self.per_block), item))

    def settle(self, first: Any, share: tuple[Any, Any]) -> None:
        """The sums of the blocks that the share touches, and the numbers that follow from them."""
        e = self.e
        start, end = (e.sdiv(at, self.per_block) for at in (share[0], e.add(share[1], e.sub(self.per_block, INT(1)))))
        with e.counting(e.add(first, start), e.add(first, end)) as block:
            totals = self.totals[0]
            for total in totals:
                e.store(e.zeros(e.double), total)
            base = e.mul(block, self.per_block)
            with e.counting(base, e.add(base, self.per_block)) as i:
                for total, pointer in zip(totals, self.sums):
                    e.store(e.fadd(e.load(total), e.vector(pointer, i, e.double)), total)
            singles = [e.wide(e.vector(pointer, block)) for pointer in self.singles]
            doubles = [e.vector(pointer, block, e.double) for pointer in self.doubles]
            found = [e.load(total) for total in totals]
            narrow, wide = self.norm.settle(e, found, self.total, self.eps, singles, doubles)
            for k, value in narrow.items():
                e.put(e.narrow(value), self.singles[k], block)
            for k, value in wide.items():
                e.put(value, self.doubles[k], block)


def module(name: str, norm: Norm, width: int, reduced: bool) -> Any:
    """LLVM's module with the function of this name."""
    e = Emitter(name, width, reduced)
    sweeper = _Sweeper(e, norm)
    with e.counting(INT(0), sweeper.blocks, sweeper.group) as first:
        count = e.sub(e.least(e.add(first, sweeper.group), sweeper.blocks), first)
        share = e.share(e.mul(count, sweeper.per_block))
        sweeper.sweep(first, share, norm.reads[0], norm.first, True)
        e.barrier()
        sweeper.settle(first, share)
        if norm.second is not None:
            sweeper.sweep(first, share, norm.reads[1], norm.second, False)
    e.ret_void()
    return e.module


def forward(relu: bool, added: bool) -> Norm:
    """y = relu((x - μ) · γ / √(σ² + eps) + β + other). Arrays: x, y, other."""

    def first(e: Emitter, v: Any, _: Values) -> Swept:
        return Swept((), [(v[0], None), (v[0], v[0])])

    def settle(
        e: Emitter, sums: Values, total: Any, eps: Any, singles: Values, doubles: Values
    ) -> tuple[dict[int, Any], dict[int, Any]]:
        mean, square = (e.fdiv(each, total) for each in sums)
        variance = e.relu(e.fsub(square, e.fmul(mean, mean)))
        inverse = e.fdiv(e.number(1.0, e.double), e.root(e.fadd(variance, eps)))
        factor, center = e.fmul(inverse, singles[GAMMA]), e.wide(e.narrow(mean))
        offset = e.fma(e.fsub(center, mean), factor, singles[BETA])  # what rounding the mean has cost is added
        return (
            {CENTER: mean, FACTOR: factor, OFFSET: offset},
            {MEAN: mean, VARIANCE: variance, INVERSE: inverse},
        )

    def second(e: Emitter, v: Any, numbers: Values) -> Swept:
        y = normalised(e, v[0], numbers)
        y = e.fadd(y, v[2]) if added else y
        return Swept([(1, e.relu(y) if relu else y)])

    return Norm(2 + added, ((0,), (0, 2) if added else (0,)), first, settle, second)


def backward(count: int, relu: bool, signs: bool, behind: bool, wanted: bool) -> Norm:
    """dx = γ · inverse · (dy' - Σ dy' / M - x̂ · Σ(dy' · x̂) / M), with dy' = Σ dy_i behind the ReLU.

    Arrays: x, dx, dy_1 … dy_count, the blob whose signs say where dy' is dy (without it the normalised value), and the
    one that dy' goes to.

    relu  whether there is a ReLU;  wanted  whether dx is
    """
    last = 2 + count
    reads = (0, *range(2, last + signs))
    kept = last + signs

    def gradient(e: Emitter, v: Any, numbers: Values) -> Any:
        total = v[2]
        for k in range(3, last):
            total = e.fadd(total, v[k])
        if not relu:
            return total
        return e.where_positive(v[last] if signs else normalised(e, v[0], numbers), total)

    def first(e: Emitter, v: Any, numbers: Values) -> Swept:
        dy = gradient(e, v, numbers)
        return Swept([(kept, dy)] if behind else [], [(dy, None), (dy, v[0])])

    def settle(
        e: Emitter, sums: Values, total: Any, eps: Any, singles: Values, doubles: Values
    ) -> tuple[dict[int, Any], dict[int, Any]]:
        shift, products = sums
        mean, inverse = doubles[MEAN], doubles[INVERSE]
        scale = e.fmul(e.fsub(products, e.fmul(mean, shift)), inverse)
        slope = e.fmul(inverse, singles[GAMMA])
        part = e.fdiv(e.fneg(slope), total)
        tilt = e.fmul(e.fmul(part, inverse), scale)
        level = e.fma(part, shift, e.fmul(tilt, e.fsub(singles[CENTER], mean)))
        return {SLOPE: slope, TILT: tilt, LEVEL: level}, {SCALE: scale, SHIFT: shift}

    def second(e: Emitter, v: Any, numbers: Values) -> Swept:
        dy = v[kept] if behind else gradient(e, v, numbers)
        rest = e.fma(e.fsub(v[0], numbers[CENTER]), numbers[TILT], numbers[LEVEL])
        return Swept([(1, e.fma(dy, numbers[SLOPE], rest))])

    again = (0, kept) if behind else reads
    return Norm(last + signs + behind, (reads, again), first, settle, second if wanted else None)
