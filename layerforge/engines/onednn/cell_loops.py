"""The LSTM's cell as loops: what stands between the products of one time step, in one sweep over memory.

Rows are streams; a row of the gates holds i, f, o and g side by side. A row that vectors do not fill ends with single
numbers. Source of the polynomials: Cephes' expf and tanhf.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from llvmlite import ir

from layerforge.engines.onednn.emitter import INT, Emitter

WIDTH = 16
MAGIC = 1.5 * 2**23  # added to a float32 it leaves the nearest whole number in the lowest bits
EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
TANH = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)


class CellEmitter(Emitter):
    """Vectors of numbers anywhere in memory, and the functions of the gates."""

    @contextlib.contextmanager
    def of_width(self, width: int) -> Iterator[None]:
        """Vectors have so many numbers in the block."""
        before = self.width, self.bits, self.single
        self.width, self.bits = width, ir.VectorType(ir.IntType(32), width)
        self.single = ir.VectorType(ir.FloatType(), width)
        try:
            yield
        finally:
            self.width, self.bits, self.single = before

    def get(self, pointer: Any, place: Any) -> Any:
        """The vector from this number on."""
        return self.load(self.gep(pointer, [place], source_etype=ir.FloatType()), typ=self.single, align=4)

    def set(self, value: Any, pointer: Any, place: Any) -> None:
        """Writes it."""
        self.store(value, self.gep(pointer, [place], source_etype=ir.FloatType()), align=4)

    def single_number(self, pointer: Any, place: Any) -> Any:
        """One number of an array."""
        return self.load(self.gep(pointer, [place], source_etype=ir.FloatType()), typ=ir.FloatType(), align=4)

    def everywhere(self, number: Any) -> Any:
        """A number in every place of a vector."""
        vector = ir.Constant(self.single, ir.Undefined)
        for i in range(self.width):
            vector = self.insert_element(vector, number, ir.Constant(ir.IntType(32), i))
        return vector

    def polynomial(self, x: Any, factors: Sequence[float]) -> Any:
        """The first factor belongs to the highest power."""
        found = self.number(factors[0])
        for factor in factors[1:]:
            found = self.fma(found, x, self.number(factor))
        return found

    def bound(self, x: Any, low: float, high: float) -> Any:
        """x within the bounds; NaN stays."""
        x = self.select(self.fcmp_ordered("<", x, self.number(low)), self.number(low), x)
        return self.select(self.fcmp_ordered(">", x, self.number(high)), self.number(high), x)

    def exp(self, x: Any) -> Any:
        """e^x, between 1e-38 and 1e38: 2^n · e^r with the whole n next to x / ln 2"""
        x = self.bound(x, -87.3, 88.0)
        shifted = self.fma(x, self.number(1.44269504088896341), self.number(MAGIC))
        n = self.fsub(shifted, self.number(MAGIC))
        r = self.fma(n, self.number(-0.693359375), x)
        r = self.fma(n, self.number(2.12194440e-4), r)
        y = self.fma(self.polynomial(r, EXP), self.fmul(r, r), self.fadd(r, self.number(1.0)))
        power = self.add(self.shl(self.bitcast(shifted, self.bits), self._whole(23)), self._whole(127 << 23))
        return self.fmul(y, self.bitcast(power, self.single))

    def sigmoid(self, x: Any) -> Any:
        """1 / (1 + e^-x)"""
        return self.fdiv(self.number(1.0), self.fadd(self.number(1.0), self.exp(self.fneg(x))))

    def tanh(self, x: Any) -> Any:
        """1 - 2 / (e^2|x| + 1) with the sign of x; near 0 a polynomial, which keeps all digits."""
        bits = self.bitcast(x, self.bits)
        size = self.bitcast(self.and_(bits, self._whole(0x7FFFFFFF)), self.single)
        power = self.exp(self.fadd(size, size))
        far = self.fsub(self.number(1.0), self.fdiv(self.number(2.0), self.fadd(power, self.number(1.0))))
        sign = self.and_(bits, self._whole(-(1 << 31)))
        far = self.bitcast(self.or_(self.bitcast(far, self.bits), sign), self.single)
        square = self.fmul(x, x)
        near = self.fma(self.fmul(self.polynomial(square, TANH), square), x, x)
        return self.select(self.fcmp_ordered("<", size, self.number(0.625)), near, far)

    def slope(self, y: Any) -> Any:
        """y (1 - y)"""
        return self.fmul(y, self.fsub(self.number(1.0), y))

    def rest_of_square(self, y: Any) -> Any:
        """1 - y²"""
        return self.fma(self.fneg(y), y, self.number(1.0))


Body = Callable[[CellEmitter, Any, Any, Any], None]
"""For the row, its first number in arrays of D numbers a row, and the place in the row."""


def _rows(name: str, arrays: int, write: Callable[[CellEmitter, Any, Sequence[Any]], Body]) -> Any:
    """The module of a loop over rows and their numbers. Slots: rows, D, then the arrays."""
    e = CellEmitter(name, WIDTH)
    rows, d = e.slots(2, INT)
    pointers = e.slots(arrays)
    body = write(e, d, pointers)
    whole = e.mul(e.sdiv(d, INT(WIDTH)), INT(WIDTH))
    with e.counting(*e.share(rows)) as row:
        base = e.mul(row, d)
        for start, end, width in ((INT(0), whole, WIDTH), (whole, d, 1)):
            with e.of_width(width), e.counting(start, end, INT(width)) as j:
                body(e, row, base, j)
    e.ret_void()
    return e.module


def _gates(e: CellEmitter, d: Any, base: Any, j: Any) -> list[Any]:
    """The places of i, f, o and g."""
    first = e.add(e.mul(base, INT(4)), j)
    return [e.add(first, e.mul(d, INT(k))) for k in range(4)]


def forward(name: str) -> Any:
    """Gates from the sums of inputs; c = f c' + i g, h = o tanh c, and what enters the next step, h · cont.

    Arrays: gates (N, 4D), in place; c', c, tanh c, h, the next step's entry (N, D); this step's cont, the next one's
    """

    def write(e: CellEmitter, d: Any, pointers: Sequence[Any]) -> Body:
        gates, before, cell, squashed, h, entry, cont, following = pointers

        def body(e: CellEmitter, row: Any, base: Any, j: Any) -> None:
            places, at = _gates(e, d, base, j), e.add(base, j)
            i, f, o = (e.sigmoid(e.get(gates, place)) for place in places[:3])
            g = e.tanh(e.get(gates, places[3]))
            f = e.fmul(f, e.everywhere(e.single_number(cont, row)))
            c = e.fma(i, g, e.fmul(f, e.get(before, at)))
            t = e.tanh(c)
            y = e.fmul(o, t)
            for value, place in zip((i, f, o, g), places):
                e.set(value, gates, place)
            e.set(c, cell, at)
            e.set(t, squashed, at)
            e.set(y, h, at)
            e.set(e.fmul(y, e.everywhere(e.single_number(following, row))), entry, at)

        return body

    return _rows(name, 8, write)


def backward(name: str) -> Any:
    """The gradients of the gates' sums; dc becomes the gradient of c' by this step.

    Arrays: gates (N, 4D); c', tanh c, dy, what the product of the step after gave for h (N, D); dc, in place; the
    gates' gradients (N, 4D); the next step's cont
    """

    def write(e: CellEmitter, d: Any, pointers: Sequence[Any]) -> Body:
        gates, before, squashed, dy, dh_after, dc, diffs, following = pointers

        def body(e: CellEmitter, row: Any, base: Any, j: Any) -> None:
            places, at = _gates(e, d, base, j), e.add(base, j)
            i, f, o, g = (e.get(gates, place) for place in places)
            t, carried = e.get(squashed, at), e.everywhere(e.single_number(following, row))
            dh = e.fma(e.get(dh_after, at), carried, e.get(dy, at))
            total = e.fma(e.fmul(dh, o), e.rest_of_square(t), e.get(dc, at))
            made = (
                e.fmul(e.fmul(total, g), e.slope(i)),
                e.fmul(e.fmul(total, e.get(before, at)), e.slope(f)),
                e.fmul(e.fmul(dh, t), e.slope(o)),
                e.fmul(e.fmul(total, i), e.rest_of_square(g)),
            )
            e.set(e.fmul(total, f), dc, at)
            for value, place in zip(made, places):
                e.set(value, diffs, place)

        return body

    return _rows(name, 8, write)
