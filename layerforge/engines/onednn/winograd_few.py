"""The loop of Winograd's convolution for four tiles: weights lie as 9 numbers each, as many as the direct way reads.

A row of the 36 matrices at a time, 6 · 4 tiles · 16 output channels are sums in registers. For each input channel the
nine vectors of weights become the row's six on the way, for which reading all 36 from memory would take longer.
"""

from __future__ import annotations

from typing import Any

from layerforge.engines.onednn.emitter import INT
from layerforge.engines.onednn.indirect_loops import FLOAT, WIDTH
from layerforge.engines.onednn.winograd_loops import KEPT, MATRICES, NEAR, PAIRS, TILE, Tiles

PLAIN, SIZE, UNROLLED, LINE = KEPT * KEPT, 4, 4, 64  # LINE: bytes
FETCHES = UNROLLED * PLAIN // TILE  # lines in a turn: those of the next panel in the time of this


class FewTiles(Tiles):
    """Values lie as (row, 16 input channels, tile, column, channel): one pointer for all that a turn reads."""

    def target(self, values: Any, item: Any) -> Any:
        return self.number_at(values, self.mul(item, INT(TILE * WIDTH)))

    def keep(self, value: Any, target: Any, place: tuple[int, int], c: Any) -> None:
        row = self.number_at(target, self.mul(self.channels, INT(place[0] * TILE * self.rows)))
        self.put(value, self.number_at(row, self.mul(c, INT(self.rows * TILE * WIDTH))), INT(place[1]))

    def pair(self, of: tuple[int, int, float], numbers: list[Any]) -> Any:
        """f · p + q"""
        p, q = (numbers[k] for k in of[:2])
        if abs(of[2]) == 1:
            return self.fadd(q, p) if of[2] > 0 else self.fsub(q, p)
        return self.fma(self.number(of[2]), p, q)

    def row(self, i: int, values: Any, weights: Any, fetched: tuple[Any, Any]) -> list[Any]:
        """The products of row i of the matrices: (tiles, columns) vectors.

        fetched  what to bring near meanwhile, and how many bytes of it in a turn
        """
        values = self.number_at(values, self.mul(self.channels, INT(i * TILE * self.rows)))
        kept, sums = [*[self.zeros()] * (self.rows * TILE), weights, fetched[0]], range(self.rows * TILE)
        with self.carrying(self.sdiv(self.channels, INT(WIDTH)), INT(1), kept) as sixteen:
            some = self.number_at(values, self.mul(sixteen, INT(self.rows * TILE * WIDTH)))
            with self.carrying(INT(WIDTH), INT(UNROLLED), kept) as c:
                *found, w, ahead = kept
                first = self.number_at(some, c)
                for u in range(UNROLLED):
                    plain = [self.vector(w, INT(u * PLAIN + k)) for k in range(PLAIN)]
                    of_row = [self.pair(PAIRS[i], plain[k::KEPT]) for k in range(KEPT)]
                    made = [self.pair(each, of_row) for each in PAIRS]
                    for s in sums:
                        x = self.load(self.number_at(first, INT(s * WIDTH + u)), typ=FLOAT, align=4)
                        found[s] = self.fma(self.everywhere(x), made[s % TILE], found[s])
                for line in range(FETCHES):
                    self.fetch(self.byte_at(ahead, INT(LINE * line)))
                kept[:] = [*found, self.at(w, INT(UNROLLED * PLAIN)), self.byte_at(ahead, fetched[1])]
        return kept[:-2]


def few(name: str, rows: int) -> Any:
    """The module for y = max(w ⋆ x + b + other?, floor) of so many tiles as a row's sums have registers for.

    Slots: those of `winograd`; weights (panel, input channel, 9, output channel of the panel), a panel a vector. All
    cells lie along the panels.
    """
    e = FewTiles(name, (rows, 1, UNROLLED), SIZE)
    one, zero, panel_size = INT(1), INT(0), e.mul(e.channels, INT(PLAIN * WIDTH))
    turns = e.mul(e.sdiv(e.channels, INT(UNROLLED)), INT(TILE))
    elsewhere = e.byte_at(e.wanted, e.sdiv(e.mul(e.behind, e.thread), e.threads))
    much = e.least(e.sdiv(e.behind, e.threads), e.least(INT(NEAR), e.mul(panel_size, INT(4))))
    with e.counting(*e.share(e.cells[1])) as cell:
        values = e.number_at(e.own, e.mul(cell, e.own_size))
        products = e.number_at(values, e.mul(e.values_apart, INT(MATRICES)))
        e.transform(zero, INT(rows), values)
        begin, end = e.cut(e.panels, e.cells[1], cell)
        with e.counting(begin, end) as panel:
            after = e.add(panel, one)
            leaving = e.icmp_signed("==", after, end)
            ahead = e.select(leaving, elsewhere, e.number_at(e.weights, e.mul(after, panel_size)))
            pace = e.select(leaving, e.sdiv(much, turns), INT(FETCHES * LINE))
            part = e.mul(pace, e.sdiv(turns, INT(TILE)))
            weights = e.number_at(e.weights, e.mul(panel, panel_size))
            for i in range(TILE):
                sums = e.row(i, values, weights, (e.byte_at(ahead, e.mul(part, INT(i))), pace))
                for s, value in enumerate(sums):
                    matrix = e.mul(e.products_apart, INT(TILE * i + s % TILE))
                    e.put(value, e.number_at(products, matrix), INT(s // TILE))
            with e.counting(zero, INT(rows)) as item:
                tile = e.number_at(products, e.mul(item, INT(WIDTH)))
                e.join(item, tile, e.mul(panel, INT(WIDTH)), INT(WIDTH))
    e.ret_void()
    return e.module
