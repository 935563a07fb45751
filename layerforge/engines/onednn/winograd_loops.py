"""The loops of Winograd's convolution: tiles of 6 × 6 values into the space of the products, and back.

Channels lie last; 16 of them are a vector. A thread takes its share of the tiles.

Slots of both: first tile, how many tiles, rows and columns of tiles, height and width of the picture, vertical and
horizontal padding, vectors in a place, vectors between two of the 36 matrices,
numbers between two places. Then pointers: of `tiled` the picture,
the matrices, zeros for what lies outside; of `joined` the picture, the matrices, room for what lies outside, bias, and
the picture that is added.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from llvmlite import ir

from layerforge.engines.onednn.emitter import INT, Emitter

WIDTH, TILE, SIZE = 16, 6, 4
FLOAT = ir.FloatType()
NUMBERS = 11  # slots before the pointers


class Place(NamedTuple):
    """A tile: its number among those at hand, its sample, its row and column."""

    item: Any
    sample: Any
    row: Any
    column: Any


class Tiles(Emitter):
    """The function around the loop over a thread's tiles."""

    def __init__(self, name: str, pointers: int) -> None:
        super().__init__(name, WIDTH)
        self.first, self.count, self.rows, self.columns, self.high, self.across, *rest = self.slots(NUMBERS, INT)
        self.pads, self.vectors, self.stride, self.pitch = rest[:2], *rest[2:]
        self.pointers = self.slots(pointers)

    @contextlib.contextmanager
    def tiles(self) -> Iterator[Place]:
        """The tiles of this thread."""
        with self.counting(*self.share(self.count)) as item:
            tile, per = self.add(self.first, item), self.mul(self.rows, self.columns)
            inside = self.srem(tile, per)
            yield Place(item, self.sdiv(tile, per), self.sdiv(inside, self.columns), self.srem(inside, self.columns))

    def places(self, place: Place, size: int, pads: Sequence[Any], kinds: Sequence[tuple[Any, Any]]) -> list[list[Any]]:
        """Addresses of size × size places, the first at (4 · row - pad, 4 · column - pad), for each (picture, stand-in
        for what lies outside)."""
        top, left = (self.sub(self.mul(k, INT(SIZE)), pad) for k, pad in zip((place.row, place.column), pads))
        found: list[list[Any]] = [[] for _ in kinds]
        for i in range(size):
            y = self.add(top, INT(i))
            row = self.mul(self.add(self.mul(place.sample, self.high), y), self.across)
            for j in range(size):
                x = self.add(left, INT(j))
                inside = self.and_(self.icmp_unsigned("<", y, self.high), self.icmp_unsigned("<", x, self.across))
                at = self.mul(self.add(row, x), self.pitch)
                for each, (picture, outside) in zip(found, kinds):
                    each.append(self.select(inside, self.at(picture, at, FLOAT), outside))
        return found

    def twice(self, values: Sequence[Any], line: Callable[[Sequence[Any]], list[Any]]) -> Iterator[list[Any]]:
        """`line` on every column of 6 × 6 values, then on every row of what that gives."""
        columns = [line([values[TILE * i + j] for i in range(TILE)]) for j in range(TILE)]
        return (line(row) for row in zip(*columns))

    def into(self, d: Sequence[Any]) -> list[Any]:
        """Bᵀ d"""
        fma, k = self.fma, self.number
        a, b = fma(k(-4.0), d[2], d[4]), fma(k(-4.0), d[1], d[3])
        c, e = self.fsub(d[4], d[2]), self.fsub(d[3], d[1])
        first, last = (fma(k(4.0), d[i], fma(k(-5.0), d[i + 2], d[i + 4])) for i in (0, 1))
        return [first, self.fadd(a, b), self.fsub(a, b), fma(k(2.0), e, c), fma(k(-2.0), e, c), last]

    def out_of(self, m: Sequence[Any]) -> list[Any]:
        """Aᵀ m: row j is Σ pᵢʲ mᵢ over the points 0, 1, -1, 2, -2, and the last also takes m₅."""
        even, odd = ([join(m[1], m[2]), join(m[3], m[4])] for join in (self.fadd, self.fsub))
        rows = []
        for j in range(SIZE):
            near, far = odd if j % 2 else even
            rows.append(self.fma(self.number(2.0**j), far, near))
        rows[0] = self.fadd(rows[0], m[0])
        rows[-1] = self.fadd(rows[-1], m[5])
        return rows


def tiled(name: str) -> Any:
    """The module that writes Bᵀ d B of each tile d into 36 matrices (tiles, channels)."""
    e = Tiles(name, 3)
    picture, matrices, zeros = e.pointers
    with e.tiles() as place:
        (places,) = e.places(place, TILE, e.pads, [(picture, zeros)])
        target = e.at(matrices, e.mul(place.item, e.vectors))
        with e.counting(INT(0), e.vectors) as c:
            for i, row in enumerate(e.twice([e.vector(each, c) for each in places], e.into)):
                for j, value in enumerate(row):
                    e.put(value, target, e.add(c, e.mul(e.stride, INT(TILE * i + j))))
    e.ret_void()
    return e.module


def joined(name: str, relu: bool, added: bool) -> Any:
    """The module that writes y = relu?(Aᵀ m A + bias + other?) of 36 matrices m (tiles, channels)."""
    e = Tiles(name, 5)
    picture, matrices, room, bias, other = e.pointers
    nothing = [INT(0)] * 2
    with e.tiles() as place:
        kinds = [(picture, room), *([(other, room)] if added else [])]
        targets, *others = e.places(place, SIZE, nothing, kinds)
        source = e.at(matrices, e.mul(place.item, e.vectors))
        with e.counting(INT(0), e.vectors) as c:
            values = [e.vector(source, e.add(c, e.mul(e.stride, INT(k)))) for k in range(TILE * TILE)]
            offset = e.vector(bias, c)
            for i, row in enumerate(e.twice(values, e.out_of)):
                for j, y in enumerate(row):
                    y = e.fadd(y, offset)
                    y = e.fadd(y, e.vector(others[0][SIZE * i + j], c)) if added else y
                    e.put(e.relu(y) if relu else y, targets[SIZE * i + j], c)
    e.ret_void()
    return e.module
