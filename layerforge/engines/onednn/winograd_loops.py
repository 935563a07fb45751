"""The loop of Winograd's convolution: tiles of 6 × 6 values into the space of the products, the products, and back.

Channels lie last; 16 of them are a vector. Work is cut into cells, of some tiles by some panels of output channels,
that share nothing: a thread takes some tiles of its cell at a time through all three stages in memory of its own, for
what another core has just written comes slowly. Meanwhile the weights that come next are fetched from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from layerforge.engines.onednn.emitter import INT
from layerforge.engines.onednn.indirect_loops import FLOAT, WIDTH, Tile

TILE = 6
MATRICES = TILE * TILE
KEPT = 3  # numbers of a row of weights when they are spared
PAIRS = ((0, 1, -2.0), (2, 0, 1.0), (2, 0, -1.0), (2, 1, 1.0), (2, 1, -1.0), (1, 0, -2.0))
"""Of those, for each column: p, q and f of the weight f · p + q."""
NEAR = 512 * 1024  # bytes of the next convolution's weights that a thread fetches, at most


class Place(NamedTuple):
    """A tile: its sample, its row and column."""

    sample: Any
    row: Any
    column: Any


class Tiles(Tile):
    """The function, its numbers and pointers.

    size    of what a tile gives, both ways
    spared  where q and f of the pairs are, when weights are spared: bytes from p on, a vector
    """

    def __init__(self, name: str, tile: tuple[int, int, int], size: int) -> None:
        super().__init__(name, *tile)
        self.size = size
        self.count, self.grid_rows, self.grid_columns, self.together = self.slots(4, INT)
        self.bottom, self.top, self.pads = (self.slots(2, INT) for _ in range(3))
        self.channels, self.outputs, self.pitch, self.panels, *self.cells = self.slots(6, INT)
        self.values_apart, self.products_apart, self.own_size, relu, self.more = self.slots(5, INT)
        self.x, self.outside, self.weights, self.bias, self.y, self.room, self.other, self.own = self.slots(8)
        (self.wanted,), (self.behind,) = self.slots(1), self.slots(1, INT)
        self.floor = self.everywhere(self.select(self.true(relu), FLOAT(0.0), FLOAT(float("-inf"))))
        self.spared: tuple[Any, Any] | None = None

    def true(self, number: Any) -> Any:
        return self.icmp_signed("!=", number, INT(0))

    def parts(self, number: Any, size: Any) -> Any:
        """⌈number / size⌉"""
        return self.sdiv(self.add(number, self.sub(size, INT(1))), size)

    def cut(self, number: Any, pieces: Any, k: Any) -> tuple[Any, Any]:
        """Where piece k begins and ends."""
        first, last = (self.sdiv(self.mul(number, part), pieces) for part in (k, self.add(k, INT(1))))
        return first, last

    def place(self, tile: Any) -> Place:
        per = self.mul(self.grid_rows, self.grid_columns)
        inside = self.srem(tile, per)
        row, column = self.sdiv(inside, self.grid_columns), self.srem(inside, self.grid_columns)
        return Place(self.sdiv(tile, per), row, column)

    def places(
        self, place: Place, size: int, pads: Sequence[Any], picture: Sequence[Any], channels: Any
    ) -> list[tuple[Any, Any]]:
        """For each of size × size places, the first at the tile's own less the padding, whether it is in the picture
        and which number of it comes first."""
        top, left = (self.sub(self.mul(k, INT(self.size)), pad) for k, pad in zip((place.row, place.column), pads))
        (high, across), found = picture, []
        for i in range(size):
            y = self.add(top, INT(i))
            row = self.mul(self.add(self.mul(place.sample, high), y), across)
            for j in range(size):
                x = self.add(left, INT(j))
                inside = self.and_(self.icmp_unsigned("<", y, high), self.icmp_unsigned("<", x, across))
                found.append((inside, self.mul(self.add(row, x), channels)))
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
        """-6 Aᵀ m: row j is Σ fᵢ pᵢʲ mᵢ over the points 0, 1, -1, 2, -2, where f = 1, 1, 1, -1/2, -1/2 is what the rows
        of G lack; the last also takes 2 m₅."""
        even, odd = ([join(m[1], m[2]), join(m[3], m[4])] for join in (self.fadd, self.fsub))
        rows = []
        for j in range(self.size):
            near, far = odd if j % 2 else even
            rows.append(self.fma(self.number(-(2.0**j) / 2), far, near))
        rows[0] = self.fadd(rows[0], m[0])
        rows[-1] = self.fma(self.number(2.0), m[5], rows[-1])
        return rows

    def transform(self, first: Any, count: Any, values: Any) -> None:
        """Bᵀ d B of each tile d into 36 matrices (tiles, channels)."""
        with self.counting(INT(0), count) as item:
            found = self.places(self.place(self.add(first, item)), TILE, self.pads, self.bottom, self.channels)
            places = [self.select(inside, self.number_at(self.x, at), self.outside) for inside, at in found]
            target = self.target(values, item)
            with self.counting(INT(0), self.sdiv(self.channels, INT(WIDTH))) as c:
                for i, row in enumerate(self.twice([self.vector(each, c) for each in places], self.into)):
                    for j, value in enumerate(row):
                        self.keep(value, target, (i, j), c)

    def target(self, values: Any, item: Any) -> Any:
        """Where a tile's values begin."""
        return self.number_at(values, self.mul(item, self.channels))

    def keep(self, value: Any, target: Any, place: tuple[int, int], c: Any) -> None:
        """Vector c of a tile's value at a place of 6 × 6."""
        matrix = self.mul(self.values_apart, INT(TILE * place[0] + place[1]))
        self.put(value, self.number_at(target, matrix), c)

    def weight(self, weights: Any, i: int) -> Any:
        """Vector i of a tile's weights, or what the pair makes there."""
        p = super().weight(weights, i)
        if self.spared is None:
            return p
        away, factor = self.spared
        return self.fma(factor, p, super().weight(self.byte_at(weights, away), i))

    def spare(self, row: Any, column: Any, block: Any) -> Any:
        """Where p lies for a column of a row's matrices; the tile's weights are pairs from now on."""

        def chosen(numbers: Sequence[Any]) -> Any:
            found = numbers[0]
            for k, number in enumerate(numbers[1:], 1):
                found = self.select(self.icmp_signed("==", column, INT(k)), number, found)
            return found

        p, q = (self.mul(chosen([INT(pair[k]) for pair in PAIRS]), block) for k in range(2))
        self.spared = self.mul(self.sub(q, p), INT(4)), self.everywhere(chosen([FLOAT(pair[2]) for pair in PAIRS]))
        return self.number_at(row, p)

    def products(self, values: Any, weights: Any, into: Any, lines: Any, width: Any, ahead: Sequence[Any]) -> None:
        """A matrix of values times a panel's matrix of weights.

        width  numbers in a row of what is written
        ahead  what to fetch, and how many bytes of it
        """
        fetched, many = ahead
        each = self.sdiv(many, lines)
        pace = self.add(self.sdiv(each, self.sdiv(self.channels, INT(self.unrolled))), INT(1))
        with self.counting(INT(0), lines) as line:
            first = self.mul(line, INT(self.rows))
            places = [
                self.number_at(values, self.mul(self.channels, self.add(first, INT(r)))) for r in range(self.rows)
            ]
            memory = weights, self.byte_at(fetched, self.mul(each, line)), pace
            sums = self.tile([self.zeros()] * self.vectors, INT(1), self.channels, lambda tap: places, memory)
            for r in range(self.rows):
                row = self.number_at(into, self.mul(self.add(first, INT(r)), width))
                for v in range(self.vectors):
                    self.put(sums[r * self.vectors + v], row, INT(v))

    def join(self, tile: Any, products: Any, column: Any, width: Any) -> None:
        """y = max(Aᵀ m A + bias + other?, floor) of a tile, whose row m lies in 36 matrices (tiles, width). `column` is
        the output channel of the first."""
        found = self.places(self.place(tile), self.size, [INT(0)] * 2, self.top, self.pitch)
        there = self.sdiv(self.least(width, self.sub(self.outputs, column)), INT(WIDTH))
        with self.if_else(self.true(self.more)) as (with_other, without):
            for path, other in ((with_other, self.other), (without, None)):
                with path, self.counting(INT(0), there) as v:
                    offset = self.add(column, self.mul(v, INT(WIDTH)))
                    apart = [self.mul(self.products_apart, INT(k)) for k in range(MATRICES)]
                    values = [self.vector(self.number_at(products, at), v) for at in apart]
                    bias = self.vector(self.number_at(self.bias, offset), INT(0))
                    sums = [value for row in self.twice(values, self.out_of) for value in row]
                    for (inside, start), value in zip(found, sums):
                        at = self.add(start, offset)
                        y = self.fma(value, self.number(1 / MATRICES), bias)
                        if other is not None:
                            place = self.select(inside, self.number_at(other, at), self.outside)
                            y = self.fadd(y, self.vector(place, INT(0)))
                        y = self.select(self.fcmp_ordered("<", y, self.floor), self.floor, y)
                        self.put(y, self.select(inside, self.number_at(self.y, at), self.room), INT(0))


def winograd(name: str, tile: tuple[int, int, int], sparing: bool, size: int) -> Any:
    """The module for y = max(w ⋆ x + b + other?, floor).

    tile     rows, vectors and input channels in a turn, as `Tile` has them
    size     of what a tile of values gives: 4 for windows of 3 × 3, 2 for those of 5 × 5
    sparing  a panel's weights are 3 matrices for each 6, of which pairs make the six: one panel after the other. Else
             one matrix after the other, for all panels of the cell

    Slots: tiles, rows and columns of tiles of a sample, how many tiles are taken at once; height and width of x, of y,
    vertical and horizontal padding; input and output channels, numbers between two places of y, panels; cells along the
    tiles, along the panels; numbers between two matrices of values, of products, numbers of a cell's memory; whether
    negative outputs become 0, whether there is another. Then pointers: x, zeros for what lies outside, weights (panel,
    matrix, input channel, output channel of the panel), bias, y, room for what lies outside, other, the cells' memory;
    what is wanted next, and how many bytes of it.
    """
    rows, vectors, _ = tile
    e = Tiles(name, tile, size)
    one, zero, wide, block = INT(1), INT(0), INT(vectors * WIDTH), e.mul(e.channels, INT(vectors * WIDTH))
    panel_size = e.mul(block, INT(TILE * KEPT if sparing else MATRICES))
    elsewhere = e.byte_at(e.wanted, e.sdiv(e.mul(e.behind, e.thread), e.threads))
    much = e.least(e.sdiv(e.behind, e.threads), INT(NEAR))
    tile_cells, panel_cells = e.cells
    with e.counting(*e.share(e.mul(tile_cells, panel_cells))) as cell:
        values = e.number_at(e.own, e.mul(cell, e.own_size))
        products = e.number_at(values, e.mul(e.values_apart, INT(MATRICES)))
        lines = e.cut(e.parts(e.count, INT(rows)), tile_cells, e.sdiv(cell, panel_cells))
        begin, end = e.cut(e.panels, panel_cells, e.srem(cell, panel_cells))
        stop = e.least(e.count, e.mul(lines[1], INT(rows)))
        with e.counting(e.mul(lines[0], INT(rows)), stop, e.together) as first:
            count = e.least(e.together, e.sub(stop, first))
            lines_here = e.parts(count, INT(rows))
            is_last = e.icmp_signed(">=", e.add(first, e.together), stop)
            e.transform(first, count, values)
            with e.counting(begin, end, one if sparing else e.panels) as start:
                many = one if sparing else e.sub(end, begin)
                width = e.mul(many, wide)
                with e.counting(zero, e.mul(many, INT(MATRICES))) as item:
                    matrix, panel = e.sdiv(item, many), e.add(start, e.srem(item, many))
                    row, column = e.sdiv(matrix, INT(TILE)), e.srem(matrix, INT(TILE))
                    weights = e.number_at(e.weights, e.mul(panel, panel_size))
                    part, parts = e.add(e.mul(column, many), e.sub(panel, start)), e.mul(INT(TILE), many)  # of a row
                    leaving = e.and_(is_last, e.icmp_signed("==", row, INT(TILE - 1)))
                    if sparing:  # a row's three matrices are fetched while the six of the row before are taken
                        leaving = e.and_(leaving, e.icmp_signed("==", e.add(panel, one), end))
                        kept = e.mul(block, INT(KEPT))
                        weights, piece = e.number_at(weights, e.mul(row, kept)), e.sdiv(kept, INT(TILE))
                        ahead = e.number_at(weights, e.add(kept, e.mul(column, piece)))
                        weights = e.spare(weights, column, block)
                    else:
                        turned, piece = e.icmp_signed("==", e.add(panel, one), end), block
                        after = e.select(turned, begin, e.add(panel, one)), e.add(matrix, e.zext(turned, INT))
                        weights = e.number_at(weights, e.mul(matrix, block))
                        ahead = e.number_at(e.weights, e.add(e.mul(after[0], panel_size), e.mul(after[1], block)))
                    share = e.sdiv(much, parts)
                    ahead = e.select(leaving, e.byte_at(elsewhere, e.mul(share, part)), ahead)
                    fetched = ahead, e.select(leaving, share, e.mul(piece, INT(4)))
                    matrix_values = e.number_at(values, e.mul(matrix, e.values_apart))
                    at = e.add(e.mul(matrix, e.products_apart), e.mul(e.sub(panel, start), wide))
                    e.products(matrix_values, weights, e.number_at(products, at), lines_here, width, fetched)
                with e.counting(zero, count) as item:
                    e.join(e.add(first, item), e.number_at(products, e.mul(item, width)), e.mul(start, wide), width)
    e.ret_void()
    return e.module
