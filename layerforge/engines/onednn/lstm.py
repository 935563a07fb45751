"""LSTM: gates that pass through their functions in the products that make them.

The gates i, f and o, which are sigmoids, and the gate g, a tanh, are two values: each step's share of them lies in one
piece, and a product of weights and state ends with the function. Backward, the slopes follow from the gates' values.
The states' own arithmetic is NumPy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.storage import HOST
from layerforge.core.use import Access, Use
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.primitive import Context, Primitive
from layerforge.engines.onednn.product import Piece, Product, Size, Slope
from layerforge.engines.step import Work


def lstm(context: Context, steps: Sequence[Any]) -> Work:
    """steps: the layer alone."""
    step, work = steps[0], Work()
    values = Values(step.layer)
    ahead = Forward(context, step, values)
    work.forwards = [ahead]
    work.flops = ahead.flops
    if step.needed:
        work.backwards = [Backward(context, step, values)]
    for view in step.tops:
        context.writes(view.blob, None)
    return work


class Values:
    """What forward leaves for backward.

    gates    σ of i, f and o side by side (T, N, 3D), f scaled by cont;  tanh of g (T, N, D)
    entered  the hidden state that entered each step, scaled by cont (T, N, D)
    cells    c[0] … c[T];  squashed  tanh c[1] … tanh c[T]
    """

    def __init__(self, layer: Any) -> None:
        t, m, d = layer.steps, layer.streams, layer.d
        self.gates = Blob((t, m, 3 * d), name="gates"), Blob((t, m, d), name="gate")
        self.entered, self.cells = Blob((t, m, d), name="entered"), Blob((t + 1, m, d), name="cells")
        self.squashed = Blob((t, m, d), name="squashed")

    def uses(self, access: Access, part: str = "data") -> list[Use]:
        blobs = (*self.gates, self.entered, self.cells, self.squashed) if part == "data" else self.gates
        return [Use(getattr(blob, part), HOST, access) for blob in blobs]


class Verb:
    """What both passes know.

    pieces  the rows of a parameter that belong to i, f and o, and those that belong to g
    """

    def __init__(self, context: Context, step: Any, values: Values) -> None:
        self.step, self.layer, self.values, self.context = step, step.layer, values, context
        self.t, self.m, self.d = step.layer.steps, step.layer.streams, step.layer.d
        self.runs: list[Product | Slope] = []
        self.flops = 0

    def pieces(self, view: Any) -> tuple[Piece, Piece]:
        return Piece(view.blob, 0, 3 * self.d), Piece(view.blob, 3 * self.d, 4 * self.d)

    def widths(self) -> tuple[int, int]:
        return 3 * self.d, self.d

    def plan(self, *size: Any, times: int = 1, weights: Any = None, bias: Any = None, after: Any = None,
             **how: bool) -> Product:
        made = Product(self.context, Size(*size, **how), weights, bias, after)
        self.runs.append(made)
        self.flops += 2 * made.multiplications * times
        return made

    def primitives(self) -> list[Primitive]:
        return [each.primitive for each in self.runs]


class Forward(Verb):
    """σ and tanh of W_x x[t] + b + W_s s + W_h cont[t] h[t-1], then the states."""

    def __init__(self, context: Context, step: Any, values: Values) -> None:
        super().__init__(context, step, values)
        layer, tm = self.layer, self.t * self.m
        kinds = list(zip(self.widths(), (n.LOGISTIC, n.TANH)))
        parts = [self.pieces(view) for view in (layer.W, layer.b, layer.Wh)]
        self.inputs = [
            self.plan(tm, width, layer.inner, weights=parts[0][k], bias=parts[1][k], trans_b=True)
            for k, (width, _) in enumerate(kinds)
        ]
        self.states = [
            self.plan(self.m, width, self.d, weights=parts[2][k], after=after, trans_b=True, adds=True, times=self.t)
            for k, (width, after) in enumerate(kinds)
        ]
        self.static = []
        if layer.static:
            same = self.pieces(layer.Ws)
            self.static = [
                self.plan(self.m, width, layer.Ws.shape[1], weights=same[k], trans_b=True)
                for k, width in enumerate(self.widths())
            ]

    def uses(self) -> list[Use]:
        return [*self.values.uses(Access.WRITE), *self.step.uses().forward]

    def run(self) -> None:
        layer, values, (t, m, d) = self.layer, self.values, (self.t, self.m, self.d)
        bottoms, tops = self.step.bottoms, self.step.tops
        x, flags = _matrix(bottoms[0].blob, t * m), bottoms[1].blob.data.array(HOST).reshape(t, m, 1)
        gates = [_claimed(blob) for blob in values.gates]
        for gate, product, width in zip(gates, self.inputs, self.widths()):
            product.run(x, gate.reshape(t * m, width))
        for gate, product, width in zip(gates, self.static, self.widths()):
            same = np.empty((m, width), np.float32)
            product.run(_matrix(bottoms[2].blob, m), same)
            np.add(gate, same, out=gate)
        first = [buffer.data for buffer in layer.carried]
        if layer.exposed:
            first = [view.blob.data.array(HOST).reshape(m, d) for view in bottoms[-2:]]
        y = _claimed(tops[0].blob)
        last = self._through(gates, flags, first, y)
        targets = [_claimed(view.blob)[0] for view in tops[1:]] or [buffer.data for buffer in layer.carried]
        for target, source in zip(targets, last):
            np.copyto(target, source)

    def _through(
        self, gates: list[np.ndarray], flags: np.ndarray, first: list[np.ndarray], y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """All steps; returns the last states."""
        d, (sigmoids, tanhs) = self.d, gates
        entered, cells, squashed = (
            _claimed(blob) for blob in (self.values.entered, self.values.cells, self.values.squashed)
        )
        goes_on = (flags == 1).all(axis=(1, 2))
        h = first[0]
        np.copyto(cells[0], first[1])
        for t in range(self.t):
            if goes_on[t]:
                np.copyto(entered[t], h)
            else:
                np.multiply(h, flags[t], out=entered[t])
            self.states[0].run(entered[t], sigmoids[t])
            self.states[1].run(entered[t], tanhs[t])
            i, f, o = sigmoids[t][:, :d], sigmoids[t][:, d : 2 * d], sigmoids[t][:, 2 * d :]
            if not goes_on[t]:
                np.multiply(f, flags[t], out=f)
            cell, term, h = cells[t + 1], squashed[t], y[t]
            np.multiply(f, cells[t], out=cell)
            np.multiply(i, tanhs[t], out=term)
            np.add(cell, term, out=cell)
            np.tanh(cell, out=term)
            np.multiply(o, term, out=h)
        return h, cells[self.t]


class Backward(Verb):
    """The gradients of the gates' sums, last step first, then those of weights and inputs from all steps at once."""

    def __init__(self, context: Context, step: Any, values: Values) -> None:
        super().__init__(context, step, values)
        layer, tm, d = self.layer, self.t * self.m, self.d
        self.slopes = [Slope(context, (self.m, width), by_output)
                       for width, by_output in zip(self.widths(), (n.LOGISTIC_BY_DST, n.TANH_BY_DST))]
        self.cell_slope = Slope(context, (self.m, d), n.TANH_BY_DST)
        self.runs += [*self.slopes, self.cell_slope]
        adds = (False, True)  # the second piece is added to what the first has made
        self.back = [self.plan(self.m, d, piece.stop - piece.start, weights=piece, adds=add)
                     for piece, add in zip(self.pieces(layer.Wh), adds)]
        self.down = []
        if step.propagate_down[0]:
            self.down = [self.plan(tm, layer.inner, piece.stop - piece.start, weights=piece, adds=add)
                         for piece, add in zip(self.pieces(layer.W), adds)]
        self.same = []
        if layer.static and step.propagate_down[2]:
            self.same = [self.plan(self.m, layer.Ws.shape[1], piece.stop - piece.start, weights=piece, adds=add)
                         for piece, add in zip(self.pieces(layer.Ws), adds)]
        self.sums: dict[tuple[int, int], list[Product]] = {}
        for columns, summed in self._gradients():
            self.sums[columns, summed] = [self.plan(width, columns, summed, trans_a=True, adds=True)
                                          for width in self.widths()]

    def _gradients(self) -> list[tuple[int, int]]:
        """Columns of each parameter that has a gradient, and over how many values it is summed."""
        layer, tm = self.layer, self.t * self.m
        sizes = [(layer.inner, tm), (1, tm)]
        if layer.static:
            sizes.append((layer.Ws.shape[1], self.m))
        sizes.append((self.d, tm))
        return list(dict.fromkeys(size for size, wanted in zip(sizes, layer.needs_gradient) if wanted))

    def uses(self) -> list[Use]:
        return [
            *self.values.uses(Access.READ), *self.values.uses(Access.WRITE, "diff"), *self.step.uses().backward,
        ]

    def run(self) -> None:
        layer, step, values, (t, m) = self.layer, self.step, self.values, (self.t, self.m)
        layer.require(not step.propagate_down[1], "cont has no gradient", hint="set propagate_down: false for it")
        bottoms, wanted = step.bottoms, layer.needs_gradient
        x, flags = _matrix(bottoms[0].blob, t * m), bottoms[1].blob.data.array(HOST).reshape(t, m, 1)
        diffs = [blob.diff.claim(HOST).reshape(blob.shape) for blob in values.gates]
        self._through(diffs, flags, step.tops[0].blob.diff.array(HOST).reshape(t, m, self.d))
        flat = [diff.reshape(t * m, -1) for diff in diffs]
        at = layer.state_index
        for k, other in ((0, x), (1, np.ones((t * m, 1), np.float32)), (at, _data(values.entered).reshape(t * m, -1))):
            if wanted[k]:
                self._sum(layer.blobs[k].blob, flat, other)
        if self.down:
            self._into(bottoms[0].blob, self.down, flat)
        if layer.static:
            same = [diff.sum(axis=0) for diff in diffs]
            if wanted[2]:
                self._sum(layer.Ws.blob, same, _matrix(bottoms[2].blob, m))
            if self.same:
                self._into(bottoms[2].blob, self.same, same)
        for view, down in zip(bottoms[2 + layer.static :], step.propagate_down[2 + layer.static :]):
            if down:
                view.blob.diff.claim(HOST).fill(0)

    def _through(self, diffs: list[np.ndarray], flags: np.ndarray, dy: np.ndarray) -> None:
        """All steps, last first: diffs become the gradients of what the gates' functions were given."""
        values, d, (d_sigmoids, d_tanhs) = self.values, self.d, diffs
        sigmoids, tanhs = (_data(blob) for blob in values.gates)
        cells, squashed = _data(values.cells), _data(values.squashed)
        goes_on = (flags == 1).all(axis=(1, 2))
        dh, dc, term = (np.zeros((self.m, d), np.float32) for _ in range(3))
        for t in reversed(range(self.t)):
            i, f, o = (sigmoids[t][:, k * d : (k + 1) * d] for k in range(3))
            di, df, do = (d_sigmoids[t][:, k * d : (k + 1) * d] for k in range(3))
            np.add(dh, dy[t], out=dh)
            np.multiply(dh, squashed[t], out=do)
            np.multiply(dh, o, out=term)
            self.cell_slope.run(squashed[t], term)
            np.add(dc, term, out=dc)
            np.multiply(dc, tanhs[t], out=di)
            np.multiply(dc, cells[t], out=df)
            np.multiply(dc, i, out=d_tanhs[t])
            self.slopes[0].run(sigmoids[t], d_sigmoids[t])
            self.slopes[1].run(tanhs[t], d_tanhs[t])
            np.multiply(dc, f, out=dc)
            self.back[0].run(d_sigmoids[t], dh)
            self.back[1].run(d_tanhs[t], dh)
            if not goes_on[t]:
                np.multiply(dh, flags[t], out=dh)

    def _sum(self, blob: Blob, diffs: Sequence[np.ndarray], other: np.ndarray) -> None:
        """Adds diffᵀ · other to the parameter's gradient."""
        storage, start = blob.diff, 0
        total = storage.array(HOST).reshape(4 * self.d, -1)
        for diff, product in zip(diffs, self.sums[other.shape[1], other.shape[0]]):
            product.run(diff, total[start : start + diff.shape[1]], other)
            start += diff.shape[1]
        storage.wrote(HOST)

    def _into(self, blob: Blob, products: Sequence[Product], diffs: Sequence[np.ndarray]) -> None:
        """The bottom's gradient: Σ diff · W."""
        target = blob.diff.claim(HOST).reshape(diffs[0].shape[0], -1)
        for product, diff in zip(products, diffs):
            product.run(diff, target)


def _data(blob: Blob) -> np.ndarray:
    values: np.ndarray = blob.data.array(HOST).reshape(blob.shape)
    return values


def _claimed(blob: Blob) -> np.ndarray:
    values: np.ndarray = blob.data.claim(HOST).reshape(blob.shape)
    return values


def _matrix(blob: Blob, rows: int) -> np.ndarray:
    values: np.ndarray = blob.data.array(HOST).reshape(rows, -1)
    return values

