"""Products of matrices that are named at each call, for layers that go through time step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.storage import HOST
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.layout import F32, Layout
from layerforge.engines.onednn.primitive import Argument, Context, Descriptor, Fixed, Primitive, Read

_EMPTY = np.empty(0, np.float32)


class Size(NamedTuple):
    """out (rows, columns) = a (rows, inner) · b (inner, columns), a and b perhaps stored transposed.

    adds  the product is added to what out holds
    """

    rows: int
    columns: int
    inner: int
    trans_a: bool = False
    trans_b: bool = False
    adds: bool = False


class Piece(NamedTuple):
    """Rows of a parameter."""

    blob: Blob
    start: int
    stop: int

    def array(self) -> np.ndarray:
        """Their plain values."""
        values: np.ndarray = self.blob.data.array(HOST).reshape(self.blob.shape)[self.start : self.stop]
        return values.reshape(-1)


class Packed(Fixed):
    """A piece of a parameter in the order that a kernel wants: made again after each change of it."""

    __slots__ = ("piece", "_plain", "_factory", "_version")

    def __init__(self, context: Context, piece: Piece, layout: Layout, plain: Layout) -> None:
        super().__init__(n.WEIGHTS, layout)
        self.piece, self._plain, self._factory, self._version = piece, plain, context.layouts, -1

    def bind(self) -> None:
        if self._version != self.piece.blob.data.version:
            source = self.piece.array()
            self._factory.reorder(self._plain, source, self.layout, self.array)
            self._version = self.piece.blob.data.version
        super().bind()


class PlainPiece(Fixed):
    """A piece of a parameter as it lies."""

    __slots__ = ("piece",)

    def __init__(self, index: int, layout: Layout, piece: Piece) -> None:
        super().__init__(index, layout, _EMPTY)
        self.piece = piece

    def bind(self) -> None:
        self.array = self.piece.array()
        super().bind()


class Product:
    """A product whose arrays are named at each call.

    weights  what b always is: a parameter, or a piece of one, kept in the kernel's own order until it changes
    bias     is added to every row
    after    the function that the sum goes through: oneDNN's number
    """

    def __init__(
        self, context: Context, size: Size, weights: Blob | Piece | None = None, bias: Blob | Piece | None = None,
        after: int | None = None,
    ) -> None:
        layouts, library = context.layouts, context.library
        plain_b = _matrix(context, size.inner, size.columns, size.trans_b)
        a, out = _matrix(context, size.rows, size.inner, size.trans_a), layouts.plain((size.rows, size.columns), F32)
        offset = layouts.plain((1, size.columns), F32) if bias else None

        def behind(_: Any, chain: int) -> None:
            if size.adds:
                library.call("post_ops_append_sum", chain, 1.0, 0, 0)
            if after is not None:
                library.call("post_ops_append_eltwise", chain, after, 0.0, 0.0)

        b = layouts.any((size.inner, size.columns), F32) if weights else plain_b.desc
        desc = Descriptor(
            context, "matmul", a.desc, b, offset.desc if offset else None, out.desc,
            post_ops=behind if size.adds or after is not None else None,
        ).fast()
        self._a, self._out = (Fixed(index, layout, _EMPTY) for index, layout in ((n.SRC, a), (n.DST, out)))
        self._b, used = self._weights(context, weights, desc, plain_b), [self._a, self._out]
        arguments: list[Argument] = [*used, self._b]
        if bias and offset:
            piece = bias if isinstance(bias, Piece) else Piece(bias, 0, bias.shape[0])
            arguments.append(PlainPiece(n.BIAS, offset, piece))
        self.primitive = Primitive(desc, arguments)
        self.multiplications = size.rows * size.columns * size.inner

    def _weights(self, context: Context, weights: Blob | Piece | None, desc: Descriptor, plain: Layout) -> Argument:
        if weights is None:
            return Fixed(n.WEIGHTS, plain, _EMPTY)
        used = desc.layout(n.WEIGHTS)
        if isinstance(weights, Piece):
            return Packed(context, weights, used, plain)
        return Read(n.WEIGHTS, weights, "data", used, context.layouts.stored(used, plain))

    def run(self, a: np.ndarray, out: np.ndarray, b: np.ndarray = _EMPTY) -> None:
        """Computes; b counts only where no weights were named."""
        self._a.array, self._out.array = a, out
        if type(self._b) is Fixed:
            self._b.array = b
        self.primitive.run()


class Slope:
    """dx = dy · f'(x) in place, for a function whose slope follows from y."""

    def __init__(self, context: Context, shape: Sequence[int], forward: int) -> None:
        layout = context.layouts.plain(shape, F32)
        hint = Descriptor(context, "eltwise_forward", n.TRAINING, forward, layout.desc, layout.desc, 0.0, 0.0)
        desc = Descriptor(
            context, "eltwise_backward", forward, layout.desc, layout.desc, layout.desc, 0.0, 0.0, hint.handle
        ).fast()
        self._y, self._dy, self._dx = (Fixed(i, layout, _EMPTY) for i in (n.DST, n.DIFF_DST, n.DIFF_SRC))
        self.primitive = Primitive(desc, [self._y, self._dy, self._dx])

    def run(self, y: np.ndarray, dy: np.ndarray) -> None:
        """dy becomes dx."""
        self._y.array = y
        self._dy.array = self._dx.array = dy
        self.primitive.run()


def _matrix(context: Context, rows: int, columns: int, transposed: bool) -> Layout:
    if transposed:
        return context.layouts.exchanged((rows, columns), 0, 1, F32)
    return context.layouts.plain((rows, columns), F32)
