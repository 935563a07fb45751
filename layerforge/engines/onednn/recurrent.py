"""LSTM, GRU and RNN: the layers' own verbs, with their matrix products as primitives.

The products of all time steps with the input are one; the state's product of each step reads weights that are brought
into the kernel's order once for each change of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from layerforge.backends.numpy import NumpyOps
from layerforge.core.blob import Blob
from layerforge.core.storage import HOST
from layerforge.core.use import Use
from layerforge.engines.onednn.primitive import Context, Primitive
from layerforge.engines.onednn.product import Product, Size
from layerforge.engines.step import Work


class Products(NumpyOps):
    """The backend's kernels, with planned products in place of its own."""

    def __init__(self, context: Context, parameters: Sequence[Blob]) -> None:
        super().__init__()
        self._context, self._parameters = context, parameters
        self._planned: dict[tuple[Size, Blob | None, Blob | None], Product] = {}
        self._at: dict[int, Blob] = {}  # where a parameter's plain values lie

    def plan(self, size: Size, weights: Blob | None = None, bias: Blob | None = None) -> Product:
        """The product of this size, made once. Raises Refused."""
        key = size, weights, bias
        if key not in self._planned:
            self._planned[key] = Product(self._context, size, weights, bias)
        return self._planned[key]

    def look(self) -> None:
        """Finds the parameters: before each pass."""
        self._at = {_address(blob.data.array(HOST)): blob for blob in self._parameters}

    def matmul(self, a, b, *, trans_a=False, trans_b=False, out=None, acc=None):
        target = out if acc is None else acc
        size = Size(*target.shape, a.shape[0 if trans_a else 1], trans_a, trans_b, acc is not None)
        planned = self._planned.get((size, self._at.get(_address(b)), None))
        if planned is None:
            super().matmul(a, b, trans_a=trans_a, trans_b=trans_b, out=out, acc=acc)
        else:
            planned.run(a, target, b)

    def affine(self, x, W, b, out):
        size = Size(*out.shape, x.shape[1], trans_b=True)
        planned = self._planned.get((size, self._at.get(_address(W)), self._at.get(_address(b))))
        if planned is None:
            super().affine(x, W, b, out)
        else:
            planned.run(x, out, W)


def _address(array: np.ndarray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


class Verb:
    """A verb of the layer with the products it calls."""

    def __init__(self, run: Callable[[], None], uses: Sequence[Use], ops: Products, planned: Sequence[Product]) -> None:
        self._run, self._uses, self._ops, self._planned = run, uses, ops, planned

    def run(self) -> None:
        self._ops.look()
        self._run()

    def uses(self) -> Sequence[Use]:
        read = [use for product in self._planned for use in product.primitive.uses()]
        return [*(use for use in read if use.representation is not HOST), *self._uses]

    def primitives(self) -> list[Primitive]:
        return [product.primitive for product in self._planned]


def recurrent(context: Context, steps: Sequence[Any]) -> Work:
    """steps: the layer alone, whose ops become those with planned products."""
    step, layer = steps[0], steps[0].layer
    parameters = [view.blob for view in layer.blobs]
    ops = layer.ops if isinstance(layer.ops, Products) else Products(context, parameters)
    forward = [(ops.plan(*product), times) for product, times in _forward(layer)]
    backward = [ops.plan(*product) for product in _backward(step, layer)] if step.needed else []
    layer.ops = ops
    uses, work = step.uses(), Work()
    work.flops = sum(2 * times * product.multiplications for product, times in forward)
    work.forwards = [Verb(step.forward, uses.forward, ops, [product for product, _ in forward])]
    if step.needed:
        work.backwards = [Verb(step.backward, uses.backward, ops, backward)]
    for view in step.tops:
        context.writes(view.blob, None)
    return work


Planned = tuple[Any, ...]  # the arguments of Products.plan


def _forward(layer: Any) -> list[tuple[Planned, int]]:
    """The products of a forward pass, and how often each is called."""
    t, n_, d, rows = layer.steps, layer.streams, layer.d, layer.rows * layer.d
    found: list[tuple[Planned, int]] = [
        ((Size(t * n_, rows, layer.inner, trans_b=True), layer.W.blob, layer.b.blob), 1)
    ]
    if layer.static:
        found.append(((Size(n_, rows, layer.Ws.shape[1], trans_b=True), layer.Ws.blob), 1))
    if layer.type == "GRU":
        return found + [((Size(n_, d, d, trans_b=True), R.blob), t) for R in layer.R]
    found.append(((Size(n_, rows, d, trans_b=True, adds=True), layer.Wh.blob), t))
    if layer.type == "RNN" and layer.Wo:
        found.append(((Size(t * n_, d, d, trans_b=True), layer.Wo.blob, layer.bo.blob), 1))
    return found


def _backward(step: Any, layer: Any) -> list[Planned]:
    """The products of a backward pass."""
    t, n_, d, rows = layer.steps, layer.streams, layer.d, layer.rows * layer.d

    def gradient(rows: int, columns: int, summed: int = t * n_) -> Planned:
        return (Size(rows, columns, summed, trans_a=True, adds=True),)

    found = [gradient(rows, layer.inner)]
    if step.propagate_down[0]:
        found.append((Size(t * n_, layer.inner, rows), layer.W.blob))
    if layer.static:
        columns = layer.Ws.shape[1]
        found += [gradient(rows, columns, n_), (Size(n_, columns, rows), layer.Ws.blob)]
    if layer.type == "GRU":
        z, r, n_gate = (R.blob for R in layer.R)
        found += [(Size(n_, d, d, adds=True), z), (Size(n_, d, d, adds=True), r), (Size(n_, d, d), n_gate)]
        return [*found, gradient(d, d)]
    found += [(Size(n_, d, rows), layer.Wh.blob), gradient(rows, d)]
    if layer.type == "RNN" and layer.Wo:
        found += [(Size(t * n_, d, d), layer.Wo.blob), gradient(d, d)]
    return found
