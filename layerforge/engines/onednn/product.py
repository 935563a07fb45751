"""Products of matrices that are named at each call, for layers that go through time step by step."""

from __future__ import annotations

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


class Placed(Fixed):
    """An array that may be named by its address alone."""

    __slots__ = ()

    def place(self, address: int) -> None:
        """Lets the memory object begin here."""
        self._set(self.memory, address)
        self.held = _nothing


def _nothing() -> None:
    return None


class Product:
    """A product whose arrays are named at each call.

    weights  the parameter that b always is: it stays in the kernel's own order until it changes
    bias     is added to every row
    """

    def __init__(
        self, context: Context, size: Size, weights: Blob | None = None, bias: Blob | None = None
    ) -> None:
        layouts, library = context.layouts, context.library
        plain_b = _matrix(context, size.inner, size.columns, size.trans_b)
        a, out = _matrix(context, size.rows, size.inner, size.trans_a), layouts.plain((size.rows, size.columns), F32)
        offset = layouts.plain((1, size.columns), F32) if bias else None

        def behind(_: Any, chain: int) -> None:
            library.call("post_ops_append_sum", chain, 1.0, 0, 0)

        b = layouts.any((size.inner, size.columns), F32) if weights else plain_b.desc
        desc = Descriptor(
            context, "matmul", a.desc, b, offset.desc if offset else None, out.desc,
            post_ops=behind if size.adds else None,
        ).fast()
        self._a, self._out = (Placed(index, layout, _EMPTY) for index, layout in ((n.SRC, a), (n.DST, out)))
        self._b: Argument = Fixed(n.WEIGHTS, plain_b, _EMPTY)
        if weights:
            used = desc.layout(n.WEIGHTS)
            self._b = Read(n.WEIGHTS, weights, "data", used, layouts.stored(used, plain_b))
        arguments: list[Argument] = [self._a, self._b, self._out]
        if bias and offset:
            arguments.append(Read(n.BIAS, bias, "data", offset, HOST))
        self.primitive = Primitive(desc, arguments)
        self.multiplications = size.rows * size.columns * size.inner

    def run(self, a: np.ndarray, out: np.ndarray, b: np.ndarray = _EMPTY) -> None:
        """Computes; b counts only where no weights were named."""
        self._a.array, self._out.array = a, out
        if isinstance(self._b, Fixed):
            self._b.array = b
        self.primitive.run()

    def begin(self) -> None:
        """Before calls of `at`: looks up the weights."""
        for argument in self.primitive.arguments:
            if argument not in (self._a, self._out):
                argument.bind()

    def at(self, a: int, out: int) -> None:
        """Computes, of arrays at these addresses."""
        self._a.place(a)
        self._out.place(out)
        self.primitive.execute()


def _matrix(context: Context, rows: int, columns: int, transposed: bool) -> Layout:
    if transposed:
        return context.layouts.exchanged((rows, columns), 0, 1, F32)
    return context.layouts.plain((rows, columns), F32)
