"""The skeleton of the loops that we compile, in LLVM's instructions.

A loop goes over arrays of vectors of 8 or 16 numbers, which lie in rows: of a blocked layout a vector is the channels
of one place, a row the places of one sample and block. In memory they are float32 or bfloat16; all is computed in
float32, sums over a row in float64. What is per channel is float32 in memory too.

Slots: samples, blocks, vectors in a row, pieces that a row is cut into; then pointers to the arrays read, written, per
channel, and to the sums (samples, blocks, pieces, width).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from llvmlite import ir

from layerforge.engines.onednn.compiled import TEAM

UNROLLED = 2  # vectors at once, each with sums of its own, so that additions need not wait for one another
_INT, _POINTER = ir.IntType(64), ir.PointerType()


class Made(NamedTuple):
    """What a body makes of one vector of each array read: what is written, and pairs whose products are added up (None:
    the value itself)."""

    written: Sequence[Any] = ()
    added: Sequence[tuple[Any, Any]] = ()


Body = Callable[["Emitter", Sequence[Any], Sequence[Any]], Made]


class Loop(NamedTuple):
    """How many arrays are read, written, and hold a number per channel; how many sums are taken; and the body."""

    reads: int
    writes: int
    channels: int
    sums: int
    body: Body


class Emitter(ir.IRBuilder):
    """Writes LLVM's instructions for vectors of one width.

    reduced  whether the arrays read and written are bfloat16
    """

    def __init__(self, block: Any, width: int, reduced: bool = False) -> None:
        super().__init__(block)
        self.width, self.reduced = width, reduced
        self.bits, self.half = (ir.VectorType(ir.IntType(size), width) for size in (32, 16))
        self.single, self.double = (ir.VectorType(kind, width) for kind in (ir.FloatType(), ir.DoubleType()))

    @contextlib.contextmanager
    def counting(self, start: Any, end: Any, step: int = 1) -> Iterator[Any]:
        """for i in range(start, end, step)"""
        before = self.block
        head, body, behind = (self.append_basic_block(name) for name in ("head", "body", "behind"))
        self.branch(head)
        self.position_at_end(head)
        i = self.phi(_INT)
        i.add_incoming(start, before)
        self.cbranch(self.icmp_signed("<", i, end), body, behind)
        self.position_at_end(body)
        yield i
        i.add_incoming(self.add(i, _INT(step)), self.block)
        self.branch(head)
        self.position_at_end(behind)

    def slot(self, slots: Any, i: int, kind: Any) -> Any:
        """slots[i]"""
        return self.load(self.gep(slots, [_INT(i)], source_etype=_INT), typ=kind)

    def at(self, pointer: Any, i: Any, kind: Any = None) -> Any:
        """The address of vector i."""
        return self.gep(pointer, [i], source_etype=kind or self.single)

    def vector(self, pointer: Any, i: Any) -> Any:
        """Vector i of an array."""
        return self.load(self.at(pointer, i), typ=self.single, align=4)

    def value(self, pointer: Any, i: Any) -> Any:
        """Vector i of an array of values."""
        if not self.reduced:
            return self.vector(pointer, i)
        found = self.load(self.at(pointer, i, self.half), typ=self.half, align=2)
        return self.bitcast(self.shl(self.zext(found, self.bits), self._whole(16)), self.single)

    def write(self, value: Any, pointer: Any, i: Any) -> None:
        """Vector i of an array of values becomes this, rounded to the nearest, halves to even."""
        if not self.reduced:
            self.store(value, self.at(pointer, i), align=4)
            return
        bits = self.bitcast(value, self.bits)
        last = self.and_(self.lshr(bits, self._whole(16)), self._whole(1))
        rounded = self.add(bits, self.add(last, self._whole(0x7FFF)))
        nan = self.or_(bits, self._whole(0x400000))
        kept = self.select(self.fcmp_unordered("uno", value, value), nan, rounded)
        self.store(self.trunc(self.lshr(kept, self._whole(16)), self.half), self.at(pointer, i, self.half), align=2)

    def _whole(self, value: int) -> Any:
        return ir.Constant(self.bits, [value] * self.width)

    def zeros(self, kind: Any = None) -> Any:
        return ir.Constant(kind or self.single, [0.0] * self.width)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a · b + c"""
        bits = 32 if a.type == self.single else 64
        name = f"llvm.fma.v{self.width}f{bits}"
        found = self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(a.type, [a.type] * 3), name)
        return self.call(found, [a, b, c])

    def relu(self, y: Any) -> Any:
        """max(y, 0); NaN stays."""
        return self.select(self.fcmp_ordered("<", y, self.zeros()), self.zeros(), y)

    def number(self, value: float) -> Any:
        """The same in every place of a vector."""
        return ir.Constant(self.single, [value] * self.width)

    def root(self, a: Any) -> Any:
        """√a"""
        name = f"llvm.sqrt.v{self.width}f32"
        found = self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(a.type, [a.type]), name)
        return self.call(found, [a])

    def where_positive(self, y: Any, value: Any) -> Any:
        """value where y > 0, else 0"""
        return self.select(self.fcmp_ordered(">", y, self.zeros()), value, self.zeros())


def module(name: str, loop: Loop, width: int, reduced: bool) -> Any:
    """The module with the function of this name that runs the loop."""
    made = ir.Module(name)
    function = ir.Function(made, ir.FunctionType(ir.VoidType(), [_POINTER]), name)
    e = Emitter(function.append_basic_block(), width, reduced)
    slots = function.args[0]
    samples, blocks, inner, pieces = (e.slot(slots, i, _INT) for i in range(4))
    counts = loop.reads, loop.writes, loop.channels, loop.sums
    pointers = iter([e.slot(slots, 4 + i, _POINTER) for i in range(sum(counts))])
    read, written, channels, sums = ([next(pointers) for _ in range(count)] for count in counts)
    thread, threads = (
        e.sext(e.call(ir.Function(made, ir.FunctionType(ir.IntType(32), []), asked), []), _INT) for asked in TEAM
    )
    items = e.mul(e.mul(samples, blocks), pieces)
    first, last = (e.sdiv(e.mul(items, part), threads) for part in (thread, e.add(thread, _INT(1))))
    totals = [[e.alloca(e.double) for _ in sums] for _ in range(UNROLLED)]
    with e.counting(first, last) as item:
        row, piece = e.sdiv(item, pieces), e.srem(item, pieces)
        block = e.srem(row, blocks)
        per_channel = [e.vector(pointer, block) for pointer in channels]
        for each in totals:
            for total in each:
                e.store(e.zeros(e.double), total)
        base = e.mul(row, inner)
        start, end = (
            e.add(base, e.sdiv(e.mul(inner, part), pieces)) for part in (piece, e.add(piece, _INT(1)))
        )

        def one(i: Any, totals: Sequence[Any]) -> None:
            made = loop.body(e, [e.value(pointer, i) for pointer in read], per_channel)
            for pointer, value in zip(written, made.written):
                e.write(value, pointer, i)
            for total, (a, b) in zip(totals, made.added):
                a, old = e.fpext(a, e.double), e.load(total)
                e.store(e.fadd(old, a) if b is None else e.fma(a, e.fpext(b, e.double), old), total)

        whole = e.sub(end, e.srem(e.sub(end, start), _INT(UNROLLED)))
        with e.counting(start, whole, UNROLLED) as i:
            for k in range(UNROLLED):
                one(e.add(i, _INT(k)), totals[k])
        with e.counting(whole, end) as i:
            one(i, totals[0])
        for k, pointer in enumerate(sums):
            total = e.load(totals[0][k])
            for each in totals[1:]:
                total = e.fadd(total, e.load(each[k]))
            e.store(total, e.at(pointer, item, e.double), align=8)
    e.ret_void()
    return made
