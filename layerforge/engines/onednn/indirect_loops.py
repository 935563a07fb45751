"""The loop of convolutions that read their inputs through pointers: a tile of the output stays in registers.

A tile is some rows (places of the output) by some vectors of output channels. For each tap of the window its rows'
pointers are looked up; then each input channel is one value of every row times the tap's vectors of weights. Weights
lie in panels of as many output channels as a tile has, which stay in the cache for all rows of a block, while what
comes next is fetched from memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from layerforge.engines.onednn.emitter import INT, POINTER, Emitter

WIDTH, HALF = 16, 8
NUMBERS = 11  # slots before the pointers
FETCHES = 2  # lines of the cache for each turn of the innermost loop, at most
BYTE, SHORT, FLOAT = ir.IntType(8), ir.IntType(32), ir.FloatType()


class Tile(Emitter):
    """The function around a tile.

    rows, vectors  of the tile
    unrolled       input channels in a turn of the innermost loop
    """

    def __init__(self, name: str, rows: int, vectors: int, unrolled: int) -> None:
        super().__init__(name, WIDTH)
        self.rows, self.vectors, self.unrolled = rows, vectors, unrolled
        kind = ir.FunctionType(ir.VoidType(), [POINTER, SHORT, SHORT, SHORT])
        self._prefetch = ir.Function(self.module, kind, "llvm.prefetch.p0")

    def number_at(self, pointer: Any, i: Any) -> Any:
        """The address of number i."""
        return self.gep(pointer, [i], source_etype=FLOAT)

    def byte_at(self, pointer: Any, i: Any) -> Any:
        """The address of byte i."""
        return self.gep(pointer, [i], source_etype=BYTE)

    def fetch(self, pointer: Any, written: bool = False) -> None:
        """Brings a line into the second level of the cache; into the first one what will be written."""
        self.call(self._prefetch, [pointer, SHORT(int(written)), SHORT(2 + written), SHORT(1)])

    def everywhere(self, number: Any) -> Any:
        """A number in every place of a vector."""
        nothing = ir.Constant(self.single, ir.Undefined)
        first = self.insert_element(nothing, number, SHORT(0))
        return self.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(SHORT, WIDTH), [0] * WIDTH))

    def eight(self, value: Any, second: bool) -> Any:
        """The lower or upper numbers of a vector."""
        lanes = [i + HALF * second for i in range(HALF)]
        return self.shuffle_vector(value, value, ir.Constant(ir.VectorType(SHORT, HALF), lanes))

    def tile(self, start: Sequence[Any], taps: Any, channels: Any, places: Any, memory: Sequence[Any]) -> list[Any]:
        """start + Σ over taps and channels, row by row.

        start   a vector for each of the tile's columns
        places  tap → the addresses of the rows' first channel
        memory  weights; what to fetch, and how many bytes of it in a turn
        """
        rows, vectors, (weights, ahead, pace) = range(self.rows), range(self.vectors), memory
        kept = [*(start[v] for _ in rows for v in vectors), weights, ahead]
        with self.carrying(taps, INT(1), kept) as tap:
            values = places(tap)
            with self.carrying(channels, INT(self.unrolled), kept) as c:
                *sums, weights, ahead = kept
                for u in range(self.unrolled):
                    w = [self.weight(weights, u * self.vectors + v) for v in vectors]
                    for r in rows:
                        place = self.number_at(values[r], self.add(c, INT(u)))
                        x = self.everywhere(self.load(place, typ=FLOAT, align=4))
                        for v in vectors:
                            sums[r * self.vectors + v] = self.fma(x, w[v], sums[r * self.vectors + v])
                for line in range(FETCHES):
                    self.fetch(self.byte_at(ahead, INT(64 * line)))
                kept[:] = [*sums, self.at(weights, INT(self.unrolled * self.vectors)), self.byte_at(ahead, pace)]
        return kept[:-2]

    def weight(self, weights: Any, i: int) -> Any:
        """Vector i of a tile's weights."""
        return self.vector(weights, INT(i))

    def finish(self, values: Sequence[tuple[Any, Any]], memory: Sequence[Any]) -> None:
        """y = max(value + other, floor) at these numbers of the output; NaN stays. All of `other` is read first: y may
        lie there, and a row may come twice.

        memory  y, other or None, floor
        """
        y, other, floor = memory
        if other is not None:
            values = [
                (self.fadd(value, self.load(self.number_at(other, place), typ=value.type, align=4)), place)
                for value, place in values
            ]
        for value, place in values:
            least = floor if value.type == self.single else self.eight(floor, False)
            value = self.select(self.fcmp_ordered("<", value, least), least, value)
            self.put(value, self.number_at(y, place), INT(0))


def indirect(name: str, rows: int, vectors: int, unrolled: int, dense: bool) -> Any:
    """The module for y = max(w ⋆ x + b + other?, floor).

    dense  row i of the output reads row i of the input alone: no table of offsets

    Slots: samples, rows of a sample, panels, output channels, taps, input channels, numbers in a sample of x, between
    two rows of y, tiles in a block, whether negative outputs become 0, whether there is another. Then pointers: x; for
    each tile and tap of a sample the rows' offsets, -1 outside; zeros for what lies outside; weights, bias, y, other;
    what is wanted next, and how many bytes of it.
    """
    e = Tile(name, rows, vectors, unrolled)
    samples, inside, panels, outputs, taps, channels, sample, pitch, block, relu, more = e.slots(NUMBERS, INT)
    x, table, zeros, weights, bias, y, other, wanted = e.slots(8)
    (behind,) = e.slots(1, INT)
    one, high, panel_size = INT(1), INT(rows), e.mul(e.mul(taps, channels), INT(vectors * WIDTH))
    tiles = e.sdiv(e.add(inside, INT(rows - 1)), high)
    every = e.mul(samples, tiles)
    blocks = e.sdiv(e.add(every, e.sub(block, one)), block)
    floor = e.everywhere(e.select(e.icmp_signed("!=", relu, INT(0)), FLOAT(0.0), FLOAT(float("-inf"))))
    near = e.select(e.icmp_signed("!=", more, INT(0)), other, y)  # misses the cache: fetched while sums are taken
    elsewhere = e.byte_at(wanted, e.sdiv(e.mul(behind, e.thread), e.threads))
    turns = e.mul(taps, e.sdiv(channels, INT(unrolled)))
    begin, end = e.share(e.mul(blocks, panels))
    with e.counting(begin, end) as item:
        panel, following = e.srem(item, panels), e.add(item, one)
        first = e.mul(e.sdiv(item, panels), block)
        last = e.least(every, e.add(first, block))
        is_last = e.icmp_signed(">=", following, end)
        ahead = e.select(is_last, elsewhere, e.number_at(weights, e.mul(e.srem(following, panels), panel_size)))
        bytes_each = e.sdiv(e.select(is_last, e.sdiv(behind, e.threads), e.mul(panel_size, INT(4))), e.sub(last, first))
        pace = e.add(e.sdiv(bytes_each, turns), one)
        column = e.mul(panel, INT(vectors * WIDTH))
        start = [e.vector(e.number_at(bias, column), INT(v)) for v in range(vectors)]
        halves = e.sdiv(e.sub(outputs, column), INT(HALF))
        with e.counting(first, last) as tile:
            image, within = e.sdiv(tile, tiles), e.srem(tile, tiles)
            origin = e.number_at(x, e.mul(image, sample))
            lines = [e.least(e.add(e.mul(within, high), INT(r)), e.sub(inside, one)) for r in range(rows)]

            def places(tap: Any) -> list[Any]:
                if dense:
                    return [e.number_at(origin, e.mul(line, channels)) for line in lines]
                at, found = e.mul(e.add(e.mul(within, taps), tap), high), []
                for r in range(rows):
                    offset = e.load(e.gep(table, [e.add(at, INT(r))], source_etype=SHORT), typ=SHORT)
                    outside = e.icmp_signed("<", offset, SHORT(0))
                    found.append(e.select(outside, zeros, e.number_at(origin, e.sext(offset, INT))))
                return found

            fetched = e.byte_at(ahead, e.mul(bytes_each, e.sub(tile, first)))
            panel_weights = e.number_at(weights, e.mul(panel, panel_size))
            targets = [e.add(e.mul(e.add(e.mul(image, inside), line), pitch), column) for line in lines]
            for target in targets:
                for line in range(vectors):
                    e.fetch(e.number_at(near, e.add(target, INT(line * WIDTH))), written=True)
            sums = e.tile(start, taps, channels, places, (panel_weights, fetched, pace))
            with e.if_else(e.icmp_signed("!=", more, INT(0))) as (with_other, without):
                for path, another in ((with_other, other), (without, None)):
                    with path:
                        _write(e, sums, targets, (y, another, floor), halves)
    e.ret_void()
    return e.module


def _write(e: Tile, sums: Sequence[Any], targets: Sequence[Any], memory: Sequence[Any], halves: Any) -> None:
    """The tile at its targets; of the last panel only the channels that there are, in eights."""
    with e.if_else(e.icmp_signed(">=", halves, INT(2 * e.vectors))) as (whole, cut):
        with whole:
            places = [e.add(target, INT(WIDTH * v)) for target in targets for v in range(e.vectors)]
            e.finish(list(zip(sums, places)), memory)
        with cut:
            for h in range(2 * e.vectors):
                with e.if_then(e.icmp_signed("<", INT(h), halves)):
                    values = [e.eight(each, bool(h % 2)) for each in sums[h // 2 :: e.vectors]]
                    e.finish([(value, e.add(target, INT(HALF * h))) for value, target in zip(values, targets)], memory)
