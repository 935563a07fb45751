"""LLVM's instructions for the loops that we compile.

A loop goes over arrays of vectors of 8 or 16 numbers, which lie in rows: of a blocked layout a vector is the channels
of one place, a row the places of one sample and block. In memory they are float32 or bfloat16; all is computed in
float32, sums over a row in float64. What is per channel is no bfloat16 in memory either. What is wanted of a loop comes
in slots of 8 bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from llvmlite import ir

INT, POINTER, DOUBLE = ir.IntType(64), ir.PointerType(), ir.DoubleType()


class Emitter(ir.IRBuilder):
    """Writes one function, which takes the slots, for vectors of one width.

    reduced          whether the arrays of values are bfloat16
    thread, threads  which of how many runs it
    """

    def __init__(self, name: str, width: int, reduced: bool = False) -> None:
        module = ir.Module(name)
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), name)
        super().__init__(function.append_basic_block())
        self._slots, self._next = function.args[0], 0
        self.width, self.reduced = width, reduced
        self.bits, self.half = (ir.VectorType(ir.IntType(size), width) for size in (32, 16))
        self.single, self.double = (ir.VectorType(kind, width) for kind in (ir.FloatType(), DOUBLE))
        self.thread, self.threads = (
            self.sext(self._outside(f"omp_get_{what}", ir.IntType(32)), INT) for what in ("thread_num", "num_threads")
        )

    def _outside(self, name: str, result: Any) -> Any:
        return self.call(ir.Function(self.module, ir.FunctionType(result, []), name), [])

    def barrier(self) -> None:
        """Waits for all threads."""
        self._outside("GOMP_barrier", ir.VoidType())

    def slots(self, count: int, kind: Any = POINTER) -> list[Any]:
        """The next slots."""
        first, self._next = self._next, self._next + count
        places = [self.gep(self._slots, [INT(first + i)], source_etype=INT) for i in range(count)]
        return [self.load(place, typ=kind) for place in places]

    def share(self, items: Any) -> tuple[Any, Any]:
        """The first item of this thread, and the first of the next one."""
        first, last = (
            self.sdiv(self.mul(items, part), self.threads) for part in (self.thread, self.add(self.thread, INT(1)))
        )
        return first, last

    @contextlib.contextmanager
    def counting(self, start: Any, end: Any, step: Any = INT(1)) -> Iterator[Any]:
        """for i in range(start, end, step)"""
        before = self.block
        head, body, behind = (self.append_basic_block(name) for name in ("head", "body", "behind"))
        self.branch(head)
        self.position_at_end(head)
        i = self.phi(INT)
        i.add_incoming(start, before)
        self.cbranch(self.icmp_signed("<", i, end), body, behind)
        self.position_at_end(body)
        yield i
        i.add_incoming(self.add(i, step), self.block)
        self.branch(head)
        self.position_at_end(behind)

    @contextlib.contextmanager
    def carrying(self, end: Any, step: Any, values: list[Any]) -> Iterator[Any]:
        """for i in range(0, end, step), where the list's values are those of the turn before, and the block changes
        the list. Behind it they are those of the last turn."""
        before = self.block
        head, body, behind = (self.append_basic_block(name) for name in ("head", "body", "behind"))
        self.branch(head)
        self.position_at_end(head)
        i, *carried = (self.phi(kind) for kind in (INT, *(value.type for value in values)))
        for phi, value in zip((i, *carried), (INT(0), *values)):
            phi.add_incoming(value, before)
        values[:] = carried
        self.cbranch(self.icmp_signed("<", i, end), body, behind)
        self.position_at_end(body)
        yield i
        for phi, value in zip((i, *carried), (self.add(i, step), *values)):
            phi.add_incoming(value, self.block)
        self.branch(head)
        self.position_at_end(behind)
        values[:] = carried

    def at(self, pointer: Any, i: Any, kind: Any = None) -> Any:
        """The address of vector i."""
        return self.gep(pointer, [i], source_etype=kind or self.single)

    def vector(self, pointer: Any, i: Any, kind: Any = None) -> Any:
        """Vector i of an array."""
        kind = kind or self.single
        return self.load(self.at(pointer, i, kind), typ=kind, align=4)

    def put(self, value: Any, pointer: Any, i: Any) -> None:
        """array[i] = value"""
        self.store(value, self.at(pointer, i, value.type), align=4)

    def value(self, pointer: Any, i: Any) -> Any:
        """Vector i of an array of values."""
        if not self.reduced:
            return self.vector(pointer, i)
        found = self.load(self.at(pointer, i, self.half), typ=self.half, align=2)
        return self.bitcast(self.shl(self.zext(found, self.bits), self._whole(16)), self.single)

    def write(self, value: Any, pointer: Any, i: Any) -> None:
        """Vector i of an array of values becomes this, rounded to the nearest, halves to even."""
        if not self.reduced:
            self.put(value, pointer, i)
            return
        bits = self.bitcast(value, self.bits)
        last = self.and_(self.lshr(bits, self._whole(16)), self._whole(1))
        rounded = self.add(bits, self.add(last, self._whole(0x7FFF)))
        nan = self.or_(bits, self._whole(0x400000))
        kept = self.select(self.fcmp_unordered("uno", value, value), nan, rounded)
        self.store(self.trunc(self.lshr(kept, self._whole(16)), self.half), self.at(pointer, i, self.half), align=2)

    def _whole(self, value: int) -> Any:
        return ir.Constant(self.bits, [value] * self.width)

    def wide(self, value: Any) -> Any:
        """float32 → float64"""
        return self.fpext(value, self.double)

    def narrow(self, value: Any) -> Any:
        """float64 → float32"""
        return self.fptrunc(value, self.single)

    def zeros(self, kind: Any = None) -> Any:
        return ir.Constant(kind or self.single, [0.0] * self.width)

    def _intrinsic(self, name: str, *values: Any) -> Any:
        kind = values[0].type
        name = f"llvm.{name}.v{self.width}f{32 if kind == self.single else 64}"
        found = self.module.globals.get(name)
        return self.call(found or ir.Function(self.module, ir.FunctionType(kind, [kind] * len(values)), name), values)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a · b + c"""
        return self._intrinsic("fma", a, b, c)

    def root(self, a: Any) -> Any:
        """√a"""
        return self._intrinsic("sqrt", a)

    def relu(self, y: Any) -> Any:
        """max(y, 0); NaN stays."""
        zeros = self.zeros(y.type)
        return self.select(self.fcmp_ordered("<", y, zeros), zeros, y)

    def number(self, value: float, kind: Any = None) -> Any:
        """The same in every place of a vector."""
        return ir.Constant(kind or self.single, [value] * self.width)

    def spread(self, number: Any) -> Any:
        """A float64 in every place of a vector."""
        vector = ir.Constant(self.double, ir.Undefined)
        for i in range(self.width):
            vector = self.insert_element(vector, number, ir.Constant(ir.IntType(32), i))
        return vector

    def where_positive(self, y: Any, value: Any) -> Any:
        """value where y > 0, else 0"""
        return self.select(self.fcmp_ordered(">", y, self.zeros()), value, self.zeros())

    def least(self, a: Any, b: Any) -> Any:
        """The smaller of two whole numbers."""
        return self.select(self.icmp_signed("<", a, b), a, b)
