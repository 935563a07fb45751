"""Loops for pooling of maxima, and for LRN across channels before or behind it: what lies between stays in the cache.

16 channels are a vector. In the output channels lie last, in the input last or in blocks of 16. A thread takes its
share of the output's rows.

Slots of all: samples, rows and columns of the input, vectors in a place, between two places, between two vectors of a
place, rows and columns of the output, vertical and horizontal stride and padding, bytes of a thread's room. Then
pointers: input, output, rooms, and two numbers: alpha/n and k. A room begins with squares of one place's channels
between two vectors of zeros, then has what lies between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from layerforge.engines.onednn.emitter import INT, Emitter

WIDTH, NUMBERS = 16, 13
FLOAT, SHORT = ir.FloatType(), ir.IntType(32)


class Places(Emitter):
    """What both functions do with the channels of one place.

    size    of the pooling's window, both ways
    length  channels that LRN adds up
    """

    def __init__(self, name: str, size: int, length: int = 0) -> None:
        super().__init__(name, WIDTH)
        self.size, self.length = size, length
        self.samples, self.rows, self.columns, self.vectors, self.step, self.jump, *rest = self.slots(NUMBERS, INT)
        self.outs, self.across, *rest = rest
        self.strides, self.pads, each = rest[:2], rest[2:4], rest[4]
        self.x, self.y, rooms, numbers = self.slots(4)
        room = self.gep(rooms, [self.mul(each, self.thread)], source_etype=ir.IntType(8))
        self.squares = self.at(room, INT(1))
        self.between = self.at(room, self.add(self.vectors, INT(2)))
        self.alpha, self.k = (self.everywhere(self.load(self.at(numbers, INT(i), FLOAT), typ=FLOAT)) for i in (0, 1))

    def everywhere(self, number: Any) -> Any:
        """A number in every place of a vector."""
        nothing = ir.Constant(self.single, ir.Undefined)
        first = self.insert_element(nothing, number, SHORT(0))
        return self.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(SHORT, WIDTH), [0] * WIDTH))

    def within(self, i: Any, size: Any) -> Any:
        """The nearest of 0 … size - 1."""
        i = self.select(self.icmp_signed("<", i, INT(0)), INT(0), i)
        return self.least(i, self.sub(size, INT(1)))

    def taps(self, out: Any, axis: int) -> list[Any]:
        """Where the window of this output reads along an axis. What lies outside is replaced by its nearest neighbour,
        which the window has anyway."""
        first = self.sub(self.mul(out, self.strides[axis]), self.pads[axis])
        return [self.within(self.add(first, INT(i)), (self.rows, self.columns)[axis]) for i in range(self.size)]

    def source(self, sample: Any, row: Any, column: Any) -> Any:
        """The address of a place of the input."""
        first = self.mul(sample, self.mul(self.mul(self.rows, self.columns), self.vectors))
        return self.at(self.x, self.add(first, self.mul(self.add(self.mul(row, self.columns), column), self.step)))

    def target(self, item: Any, column: Any) -> Any:
        """The address of a place of the output; item: the row, of all samples."""
        return self.at(self.y, self.mul(self.add(self.mul(item, self.across), column), self.vectors))

    def largest(self, places: Sequence[Any], c: Any) -> Any:
        """The largest value of the places in each channel of vector c."""
        found = self.vector(places[0], c)
        for place in places[1:]:
            value = self.vector(place, c)
            found = self.select(self.fcmp_ordered(">", value, found), value, found)
        return found

    def normalise(self, source: Any, jump: Any, target: Any) -> None:
        """target = source · (k + alpha/n Σ squares)^-3/4 for the channels of a place, whose squares are there.
        jump: vectors between two of the source."""
        half = self.length // 2
        with self.counting(INT(0), self.vectors) as c:
            total = None
            for shift in range(-half, half + 1):
                near = self.vector(self.at(self.squares, INT(shift), FLOAT), c)
                total = near if total is None else self.fadd(total, near)
            root = self.inverse_root(self.fma(total, self.alpha, self.k))  # s^-1/2
            power = self.fmul(self.fmul(root, root), self.inverse_root(root))  # s^-1 · s^1/4
            self.put(self.fmul(self.vector(source, self.mul(c, jump)), power), target, c)

    def inverse_root(self, s: Any) -> Any:
        """s^-1/2: 14 bits, and one step of Newton's method."""
        kind = ir.FunctionType(self.single, [self.single, self.single, ir.IntType(16)])
        name = "llvm.x86.avx512.rsqrt14.ps.512"
        function = self.module.globals.get(name) or ir.Function(self.module, kind, name)
        r = self.call(function, [s, self.zeros(), ir.IntType(16)(-1)])
        error = self.fma(self.fmul(self.fneg(s), r), r, self.number(1.0))
        return self.fma(self.fmul(error, self.number(0.5)), r, r)


def pooled(name: str, size: int, length: int) -> Any:
    """The module that pools each place; with a length it normalises what it finds."""
    e = Places(name, size, length)
    with e.counting(*e.share(e.mul(e.samples, e.outs))) as item:
        sample, rows = e.sdiv(item, e.outs), e.taps(e.srem(item, e.outs), 0)
        with e.counting(INT(0), e.across) as column:
            columns = e.taps(column, 1)
            places = [e.source(sample, row, at) for row in rows for at in columns]
            found = e.between if length else e.target(item, column)
            with e.counting(INT(0), e.vectors) as c:
                value = e.largest(places, e.mul(c, e.jump))
                e.put(value, found, c)
                if length:
                    e.put(e.fmul(value, value), e.squares, c)
            if length:
                e.normalise(found, INT(1), e.target(item, column))
    e.ret_void()
    return e.module


def normalised_then_pooled(name: str, size: int, length: int) -> Any:
    """The module that normalises the rows that a window needs, each once, and pools them."""
    e = Places(name, size, length)
    begin, end = e.share(e.mul(e.samples, e.outs))
    line = e.mul(e.columns, e.vectors)
    state = [INT(0)]  # rows of the present sample before this one are there
    with e.carrying(e.sub(end, begin), INT(1), state) as i:
        item = e.add(begin, i)
        sample, out = e.sdiv(item, e.outs), e.srem(item, e.outs)
        rows = e.taps(out, 0)
        fresh = e.or_(e.icmp_signed("==", out, INT(0)), e.icmp_signed("==", i, INT(0)))
        done = e.select(fresh, INT(0), state[0])
        start = e.select(e.icmp_signed("<", done, rows[0]), rows[0], done)
        last = e.add(rows[-1], INT(1))
        with e.counting(start, last) as row:
            kept = e.at(e.between, e.mul(e.srem(row, INT(size)), line))
            with e.counting(INT(0), e.columns) as column:
                x = e.source(sample, row, column)
                with e.counting(INT(0), e.vectors) as c:
                    value = e.vector(x, e.mul(c, e.jump))
                    e.put(e.fmul(value, value), e.squares, c)
                e.normalise(x, e.jump, e.at(kept, e.mul(column, e.vectors)))
        lines = [e.mul(e.srem(row, INT(size)), e.columns) for row in rows]
        with e.counting(INT(0), e.across) as column:
            columns = e.taps(column, 1)
            places = [e.at(e.between, e.mul(e.add(each, at), e.vectors)) for each in lines for at in columns]
            target = e.target(item, column)
            with e.counting(INT(0), e.vectors) as c:
                e.put(e.largest(places, c), target, c)
        state[0] = last
    e.ret_void()
    return e.module
