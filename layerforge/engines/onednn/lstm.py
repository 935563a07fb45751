"""LSTM: one product and one sweep of a compiled loop for each time step; all else is done for all steps at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.storage import HOST
from layerforge.core.use import Access, Use
from layerforge.engines.onednn.compiled import compiler, loop
from layerforge.engines.onednn.primitive import Context, Primitive
from layerforge.engines.onednn.product import Product, Size
from layerforge.engines.step import Work

WIDTH = 16
LEAST = 256  # vectors that a second thread is worth


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
    """What forward leaves for backward, and the gradients of the gates' sums.

    gates    i, f, o and g side by side (T, N, 4D), f scaled by cont
    entered  the hidden state that entered each step, scaled by cont, and what would enter the next one (T + 1, N, D)
    cells    c[0] … c[T];  squashed  tanh c[1] … tanh c[T]
    """

    def __init__(self, layer: Any) -> None:
        t, m, d = layer.steps, layer.streams, layer.d
        self.gates = Blob((t, m, 4 * d), name="gates")
        self.entered, self.cells = Blob((t + 1, m, d), name="entered"), Blob((t + 1, m, d), name="cells")
        self.squashed = Blob((t, m, d), name="squashed")

    def uses(self, access: Access) -> list[Use]:
        return [Use(blob.data, HOST, access) for blob in (self.gates, self.entered, self.cells, self.squashed)]

    def claimed(self) -> list[np.ndarray]:
        """To be written: gates, entered, cells, squashed."""
        return [_claimed(blob) for blob in (self.gates, self.entered, self.cells, self.squashed)]

    def arrays(self) -> list[np.ndarray]:
        """As forward left them."""
        return [_array(blob) for blob in (self.gates, self.entered, self.cells, self.squashed)]


class Cell:
    """The compiled loop of one pass: its arrays are named step by step. `--explain` shows it among the primitives."""

    layouts: tuple[tuple[str, str], ...] = ()
    arguments: Sequence[Any] = ()

    def __init__(self, name: str, streams: int, d: int, arrays: int) -> None:
        found = compiler()
        assert found is not None
        self.name, self.impl = name, found.impl
        self._compiler, self._code = found, loop(name, WIDTH)
        self._slots = np.array([streams, d, *[0] * arrays], np.int64)
        self._alone = streams * d < 2 * LEAST * WIDTH

    def run(self, *places: int) -> None:
        """One step; places: the addresses of its arrays."""
        self._slots[2:] = places
        self._compiler.run(self._code, self._slots, alone=self._alone)


class Verb:
    """What both passes know: T, N and D as t, m and d, and their products."""

    def __init__(self, context: Context, step: Any, values: Values) -> None:
        self.step, self.layer, self.values, self.context = step, step.layer, values, context
        self.t, self.m, self.d = step.layer.steps, step.layer.streams, step.layer.d
        self.products: list[Product] = []
        self.flops = 0
        self.cell: Cell

    def plan(self, size: Size, weights: Any = None, bias: Any = None, times: int = 1) -> Product:
        made = Product(self.context, size, weights and weights.blob, bias and bias.blob)
        self.products.append(made)
        self.flops += 2 * made.multiplications * times
        return made

    def primitives(self) -> list[Primitive | Cell]:
        return [*(each.primitive for each in self.products), self.cell]

    def weights(self) -> list[Use]:
        """Parameters in the order of the kernels."""
        return [use for each in self.products for use in each.primitive.uses() if use.representation is not HOST]

    def flags(self) -> np.ndarray:
        """cont, and ones for the step behind the last: (T + 1, N)"""
        given = self.step.bottoms[1].blob.data.array(HOST).reshape(self.t, self.m)
        return np.concatenate([given, np.ones((1, self.m), np.float32)])


class Forward(Verb):
    """The sums of inputs for all steps; then, step by step, the state's product and the cell."""

    def __init__(self, context: Context, step: Any, values: Values) -> None:
        super().__init__(context, step, values)
        layer, tm, rows = self.layer, self.t * self.m, 4 * self.d
        self.input = self.plan(Size(tm, rows, layer.inner, trans_b=True), layer.W, layer.b)
        self.state = self.plan(Size(self.m, rows, self.d, trans_b=True, adds=True), layer.Wh, times=self.t)
        if layer.static:
            self.static = self.plan(Size(self.m, rows, layer.Ws.shape[1], trans_b=True), layer.Ws)
        self.cell = Cell("lstm_forward", self.m, self.d, 8)

    def uses(self) -> list[Use]:
        return [*self.weights(), *self.values.uses(Access.WRITE), *self.step.uses().forward]

    def run(self) -> None:
        layer, bottoms, tops, (t, m, d) = self.layer, self.step.bottoms, self.step.tops, (self.t, self.m, self.d)
        gates, entered, cells, squashed = self.values.claimed()
        self.input.run(_matrix(bottoms[0].blob, t * m), gates.reshape(t * m, 4 * d))
        if layer.static:
            same = np.empty((m, 4 * d), np.float32)
            self.static.run(_matrix(bottoms[2].blob, m), same)
            np.add(gates, same, out=gates)
        flags, first = self.flags(), [buffer.data for buffer in layer.carried]
        if layer.exposed:
            first = [view.blob.data.array(HOST).reshape(m, d) for view in bottoms[-2:]]
        np.multiply(first[0], flags[0][:, None], out=entered[0])
        np.copyto(cells[0], first[1])
        y = _claimed(tops[0].blob)
        arrays = gates, cells, cells[1:], squashed, y, entered[1:], flags, flags[1:]
        places, entry = [_places(array) for array in arrays], _places(entered)
        self.state.begin()
        for k in range(t):
            now = [start + k * stride for start, stride in places]
            self.state.at(entry[0] + k * entry[1], now[0])
            self.cell.run(*now)
        targets = [_claimed(view.blob)[0] for view in tops[1:]] or [buffer.data for buffer in layer.carried]
        for target, source in zip(targets, (y[-1], cells[-1])):
            np.copyto(target, source)


class Backward(Verb):
    """The gradients of the gates' sums, last step first, then those of weights and inputs from all steps at once."""

    def __init__(self, context: Context, step: Any, values: Values) -> None:
        super().__init__(context, step, values)
        layer, tm, rows, d = self.layer, self.t * self.m, 4 * self.d, self.d
        wanted, down = layer.needs_gradient, step.propagate_down
        self.state = self.plan(Size(self.m, d, rows), layer.Wh)
        self.input = self.plan(Size(tm, layer.inner, rows), layer.W) if down[0] else None
        self.static = self.plan(Size(self.m, layer.Ws.shape[1], rows), layer.Ws) if layer.static and down[2] else None
        sizes = {0: Size(rows, layer.inner, tm, trans_a=True, adds=True), 1: Size(1, rows, tm, adds=True),
                 layer.state_index: Size(rows, d, tm, trans_a=True, adds=True)}
        if layer.static:
            sizes[2] = Size(rows, layer.Ws.shape[1], self.m, trans_a=True, adds=True)
        self.sums = {k: self.plan(size) for k, size in sizes.items() if wanted[k]}
        self.cell = Cell("lstm_backward", self.m, d, 8)

    def uses(self) -> list[Use]:
        own = [*self.values.uses(Access.READ), Use(self.values.gates.diff, HOST, Access.WRITE)]
        return [*self.weights(), *own, *self.step.uses().backward]

    def run(self) -> None:
        layer, step, (t, m) = self.layer, self.step, (self.t, self.m)
        layer.require(not step.propagate_down[1], "cont has no gradient", hint="set propagate_down: false for it")
        bottoms = step.bottoms
        diffs = self.values.gates.diff.claim(HOST).reshape(t, m, 4 * self.d)
        self._through(diffs)
        flat, x = diffs.reshape(t * m, -1), _matrix(bottoms[0].blob, t * m)
        others = {0: (flat, x), layer.state_index: (flat, _array(self.values.entered)[:-1].reshape(t * m, -1))}
        if layer.static:
            same = diffs.sum(axis=0)
            others[2] = same, _matrix(bottoms[2].blob, m)
            if self.static:
                self.static.run(same, bottoms[2].blob.diff.claim(HOST).reshape(m, -1))
        others[1] = np.ones((1, t * m), np.float32), flat
        for k, product in self.sums.items():
            storage = layer.blobs[k].blob.diff
            a, b = others[k]
            product.run(a, storage.array(HOST), b)
            storage.wrote(HOST)
        if self.input:
            self.input.run(flat, bottoms[0].blob.diff.claim(HOST).reshape(t * m, -1))
        exposed = len(bottoms) - layer.exposed
        for view, down in zip(bottoms[exposed:], step.propagate_down[exposed:]):
            if down:
                view.blob.diff.claim(HOST).fill(0)

    def _through(self, diffs: np.ndarray) -> None:
        """All steps, last first."""
        gates, _, cells, squashed = self.values.arrays()
        dy = self.step.tops[0].blob.diff.array(HOST).reshape(squashed.shape)
        dh, dc = np.zeros((2, self.m, self.d), np.float32)
        flags = self.flags()
        fixed = dh.ctypes.data, dc.ctypes.data
        places = [_places(array) for array in (gates, cells, squashed, dy, diffs, flags[1:])]
        self.state.begin()
        for k in reversed(range(self.t)):
            g, c, s, y, d, cont = (start + k * stride for start, stride in places)
            self.cell.run(g, c, s, y, *fixed, d, cont)
            if k:
                self.state.at(d, fixed[0])


def _places(array: np.ndarray) -> tuple[int, int]:
    """Where it begins, and how far its items lie apart."""
    return array.ctypes.data, array.strides[0]


def _array(blob: Blob) -> np.ndarray:
    values: np.ndarray = blob.data.array(HOST).reshape(blob.shape)
    return values


def _claimed(blob: Blob) -> np.ndarray:
    values: np.ndarray = blob.data.claim(HOST).reshape(blob.shape)
    return values


def _matrix(blob: Blob, rows: int) -> np.ndarray:
    values: np.ndarray = blob.data.array(HOST).reshape(rows, -1)
    return values
