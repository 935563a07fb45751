"""Layouts: oneDNN's memory descriptors as representations of Storage. One object per distinct layout."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from ctypes import POINTER, byref, c_int, c_int64
from typing import Any

import numpy as np

from layerforge.core import threads
from layerforge.core.running import TURNS, Running
from layerforge.core.storage import HOST, PIECE, Pieces, Representation
from layerforge.engines.onednn.library import ExecArg, Library, dims

F32, BF16, U8 = 3, 2, 6
_DTYPES = {F32: np.float32, BF16: np.uint16, U8: np.uint8}
_SUFFIXES = {BF16: ":bf16", U8: ":u8"}
ANY = 1  # format_tag_any: oneDNN chooses
_PLAIN = (0, 2, 3, 4, 5, 6, 7)  # format tags a, ab, abc, … by number of axes
_NDIMS, _DIMS, _TYPE, _PADDED, _NBLOCKS, _BLOCKS, _BLOCK_AXES, _STRIDES = 256, 257, 258, 260, 263, 264, 265, 14
_BLOCKED = {  # (axes, channels side by side) → tag
    (3, 16): 56,
    (4, 16): 78,
    (5, 16): 121,
    (3, 8): 69,
    (4, 8): 102,
    (5, 8): 142,
    (3, 4): 60,
    (4, 4): 84,
    (5, 4): 128,
}
ALIGNMENT = 64  # bytes


def aligned_zeros(nbytes: int, dtype: Any = np.float32) -> np.ndarray:
    """A flat array that starts on a cache line; the base it owns lives as long as it does."""
    dtype = np.dtype(dtype)
    count = -(-nbytes // dtype.itemsize)
    block = np.zeros(count * dtype.itemsize + ALIGNMENT, np.uint8)
    start = -block.ctypes.data % ALIGNMENT
    return block[start : start + count * dtype.itemsize].view(dtype)


class Layout:
    """One memory layout of one shape.

    desc            oneDNN's descriptor
    row_major       whether it is C order, in whatever type
    representation  HOST when the layout is C order in float32, else the layout itself
    lossy           whether its values are bfloat16
    """

    plain = False

    def __init__(self, factory: LayoutFactory, desc: int, key: tuple[Any, ...]) -> None:
        self._factory, self.desc, self.key = factory, desc, key
        self.shape: tuple[int, ...] = key[0]
        self.nbytes = factory.library.desc_size(desc)
        self.dtype: Any = np.dtype(_DTYPES.get(key[1], np.uint8))
        self.row_major = key[3] == () and self.shape == key[4] and key[2] == _row_major(self.shape)
        self.is_plain = key[1] == F32 and self.row_major
        self.representation: Representation = HOST if self.is_plain else self
        self.lossy = key[1] == BF16
        self.name = _name(key)

    @property
    def channel_block(self) -> int:
        """How many channels stand side by side when the layout is blocked in channels alone; plain: 1, others: 0."""
        inner, n = self.key[3], len(self.shape)
        if self.row_major:
            return 1
        tag = _BLOCKED.get((n, inner[0][1])) if len(inner) == 1 and inner[0][0] == 1 else None
        return int(inner[0][1]) if tag is not None and self is self._factory.tagged(self.shape, tag, self.type) else 0

    @property
    def type(self) -> int:
        """oneDNN's number of the type of its values."""
        return int(self.key[1])

    def zeros(self, count: int, dtype: Any) -> np.ndarray:
        return aligned_zeros(self.nbytes, self.dtype)

    def extent(self, count: int, dtype: Any) -> tuple[int, Any]:
        return -(-self.nbytes // self.dtype.itemsize), self.dtype

    def to_host(self, source: np.ndarray, target: np.ndarray) -> None:
        self._factory.reorder(self, source, self._factory.plain(self.shape, F32), target)

    def from_host(self, source: np.ndarray, target: np.ndarray) -> None:
        self._factory.reorder(self._factory.plain(self.shape, F32), source, self, target)

    def from_pieces(self, pieces: Pieces, target: np.ndarray) -> bool:
        """Rows at a time: as many as are blocked together, or a multiple."""
        together = math.prod(size for axis, size in self.key[3] if axis == 0)
        if self.type != F32 or self.shape[0] % together:
            return False
        row, first = math.prod(self.shape[1:]), 0
        found = pieces(max(1, PIECE // (together * row)) * together * row)
        for piece in found or ():
            self._factory.reorder_rows(piece, self, first, target)
            first += piece.size // row
        return found is not None

    def convert(self, other: Any, source: np.ndarray, target: np.ndarray) -> bool:
        """From another layout of the same shape directly; other shapes of the same memory go through the host."""
        if not self.takes(other):
            return False
        self._factory.reorder(other, source, self, target)
        return True

    def takes(self, other: Any) -> bool:
        """Whether a conversion from there is direct."""
        return isinstance(other, Layout) and other.shape == self.shape

    def row(self) -> Layout:
        """The whole memory as one axis, padding too: for what treats every value alike."""
        return self._factory.plain((self.nbytes // self.dtype.itemsize,), self.key[1])

    def __repr__(self) -> str:
        return f"<Layout {self.name} {self.shape}>"


class Stored:
    """A layout of values whose plain order has its axes in another sequence: weights that are kept transposed.

    layout  what the primitives see
    order   the same axes as the plain order has them: a strided layout
    """

    plain = False

    def __init__(self, layout: Layout, order: Layout) -> None:
        self.layout, self.order, self.name, self.lossy = layout, order, layout.name, layout.lossy
        self._factory = layout._factory

    def zeros(self, count: int, dtype: Any) -> np.ndarray:
        return aligned_zeros(self.layout.nbytes, self.layout.dtype)

    def extent(self, count: int, dtype: Any) -> tuple[int, Any]:
        return self.layout.extent(count, dtype)

    def to_host(self, source: np.ndarray, target: np.ndarray) -> None:
        self._factory.reorder(self.layout, source, self.order, target)

    def from_host(self, source: np.ndarray, target: np.ndarray) -> None:
        self._factory.reorder(self.order, source, self.layout, target)

    def convert(self, other: Any, source: np.ndarray, target: np.ndarray) -> bool:
        """From another layout of the same values directly."""
        if not self.takes(other):
            return False
        self._factory.reorder(other.layout, source, self.layout, target)
        return True

    def takes(self, other: Any) -> bool:
        """Whether a conversion from there is direct."""
        return isinstance(other, Stored) and other.order is self.order


class LayoutFactory:
    """Makes each layout once, and the reorders between them. Counts the conversions that are run.

    values  the type of blobs' values: of layouts that are asked for without a type
    """

    def __init__(self, library: Library) -> None:
        self.library, self.values = library, F32
        self.running = Running(threads.count(), library.pool)
        self._known: dict[tuple[Any, ...], Layout] = {}
        self._free: dict[tuple[tuple[int, ...], int], int] = {}
        self._stored: dict[tuple[int, int], Stored] = {}
        self._reorders: dict[tuple[int, int], tuple[int, Any, int, int]] = {}
        self._owned: list[tuple[str, int]] = []  # what is to be destroyed, and how
        weakref.finalize(self, _destroy, library, self._owned).atexit = False
        self.conversions = 0

    def plain(self, shape: Sequence[int], dtype: int | None = None) -> Layout:
        """C order."""
        return self.tagged(shape, _PLAIN[len(shape) or 1], dtype)

    def tagged(self, shape: Sequence[int], tag: int, dtype: int | None = None) -> Layout:
        """The layout of a format tag."""
        shape, dtype = tuple(shape) or (1,), dtype or self.values
        return self._taken(self.library.make("memory_desc_create_with_tag", len(shape), dims(shape), dtype, tag))

    def exchanged(self, shape: Sequence[int], first: int, second: int, dtype: int | None = None) -> Layout:
        """C order of the shape with two axes exchanged, seen as `shape`."""
        order = list(range(len(shape)))
        order[first], order[second] = second, first
        return self.ordered(shape, order, dtype)

    def ordered(self, shape: Sequence[int], order: Sequence[int], dtype: int | None = None) -> Layout:
        """The axes from the outermost to the innermost in this order."""
        strides, step = [0] * len(shape), 1
        for axis in reversed(order):
            strides[axis], step = step, step * shape[axis]
        return self._strided(shape, strides, dtype)

    def _strided(self, shape: Sequence[int], strides: Sequence[int], dtype: int | None) -> Layout:
        make, dtype = self.library.make, dtype or self.values
        return self._taken(make("memory_desc_create_with_strides", len(shape), dims(shape), dtype, dims(strides)))

    def channels_last(self, shape: Sequence[int], dtype: int | None = None) -> Layout:
        """(N, *sizes, C) in memory."""
        return self.ordered(shape, [0, *range(2, len(shape)), 1], dtype)

    def any(self, shape: Sequence[int], dtype: int | None = None) -> int:
        """A descriptor that leaves the layout to oneDNN; only for asking, never for memory."""
        shape, dtype = tuple(shape) or (1,), dtype or self.values
        if (shape, dtype) not in self._free:
            self._free[shape, dtype] = self.own(
                self.library.make("memory_desc_create_with_tag", len(shape), dims(shape), dtype, ANY)
            )
        return self._free[shape, dtype]

    def like(self, layout: Layout, shape: Sequence[int], dtype: int | None = None) -> Layout:
        """Plain or blocked in channels as `layout` is, in another shape of as many axes; channels last stays so.

        dtype  None: the layout's own
        """
        inner, dtype = layout.key[3], dtype or layout.type
        if inner:
            return self.tagged(shape, _BLOCKED[len(shape), inner[0][1]], dtype)
        return self.plain(shape, dtype) if layout.row_major else self.channels_last(shape, dtype)

    def typed(self, layout: Layout, dtype: int | None = None) -> Layout:
        """The same order of the same shape for another type; plain where other axes than the channels are blocked."""
        dtype = dtype or self.values
        if layout.type == dtype:
            return layout
        if layout.channel_block:
            return self.like(layout, layout.shape, dtype)
        if layout.key[3]:
            return self.plain(layout.shape, dtype)
        return self._strided(layout.shape, [stride or 1 for stride in layout.key[2]], dtype)

    def of(self, desc: int) -> Layout:
        """The one layout equal to this descriptor, which may belong to a primitive."""
        key = self._key(desc)
        if key not in self._known:
            self._known[key] = Layout(self, self.own(self.library.make("memory_desc_clone", desc)), key)
        return self._known[key]

    def own(self, handle: int, kind: str = "memory_desc") -> int:
        """The same handle, which is destroyed when no layout is used any more."""
        self._owned.append((kind, handle))
        return handle

    def _taken(self, desc: int) -> Layout:
        """The layout of a descriptor that is not needed any more."""
        layout = self.of(desc)
        self.library.call("memory_desc_destroy", desc)
        return layout

    def stored(self, layout: Layout, order: Layout) -> Representation:
        """The representation of values in `layout` whose plain order is `order`."""
        if layout is order:
            return HOST
        if order.is_plain:
            return layout.representation
        return self._stored.setdefault((id(layout), id(order)), Stored(layout, order))

    def reorder(self, have: Layout, source: np.ndarray, want: Layout, target: np.ndarray) -> None:
        """Copies from one layout into another; pads with zeros."""
        if not TURNS.mine:  # outside a pass
            with self.running.computing():
                return self.reorder(have, source, want, target)
        self.conversions += 1
        primitive, args, first, second = self._reorder_primitive(have, want)
        self.library.call("memory_set_data_handle", first, source.ctypes.data)
        self.library.call("memory_set_data_handle", second, target.ctypes.data)
        self.library.call("primitive_execute", primitive, self.library.stream, 2, args)
        self.library.call("stream_wait", self.library.stream)

    def reorder_rows(self, source: np.ndarray, want: Layout, first: int, target: np.ndarray) -> None:
        """Copies plain rows to where rows from this one on lie in a layout."""
        if not TURNS.mine:
            with self.running.computing():
                return self.reorder_rows(source, want, first, target)
        library, engine, rest = self.library, self.library.engine, want.shape[1:]
        shape = (source.size // math.prod(rest), *rest)
        inside = library.make("memory_desc_create_submemory", want.desc, dims(shape), dims([first, *(0 for _ in rest)]))
        places = [(self.plain(shape, F32).desc, source), (inside, target)]
        memories = [library.make("memory_create", desc, engine, array.ctypes.data) for desc, array in places]
        desc = library.make("reorder_primitive_desc_create", places[0][0], engine, inside, engine, None)
        primitive = library.make("primitive_create", desc)
        args = (ExecArg * 2)(ExecArg(1, memories[0]), ExecArg(17, memories[1]))  # FROM, TO
        library.call("primitive_execute", primitive, library.stream, 2, args)
        library.call("stream_wait", library.stream)
        _destroy(library, [("primitive", primitive), ("primitive_desc", desc), ("memory_desc", inside),
                           *(("memory", memory) for memory in memories)])

    def _reorder_primitive(self, have: Layout, want: Layout) -> tuple[int, Any, int, int]:
        pair = (id(have), id(want))
        if pair not in self._reorders:
            library = self.library
            desc = library.make(
                "reorder_primitive_desc_create", have.desc, library.engine, want.desc, library.engine, None
            )
            primitive = self.own(library.make("primitive_create", desc), "primitive")
            library.call("primitive_desc_destroy", desc)
            first, second = (
                self.own(library.make("memory_create", layout.desc, library.engine, None), "memory")
                for layout in (have, want)
            )
            args = (ExecArg * 2)(ExecArg(1, first), ExecArg(17, second))  # FROM, TO
            self._reorders[pair] = (primitive, args, first, second)
        return self._reorders[pair]

    def _key(self, desc: int) -> tuple[Any, ...]:
        """(dims, type, strides, ((axis, block), …), padded dims): equal keys are equal layouts."""
        n = self._int(desc, _NDIMS)
        blocks = self._int(desc, _NBLOCKS)
        inner = tuple(zip(self._list(desc, _BLOCK_AXES, blocks), self._list(desc, _BLOCKS, blocks)))
        shape = self._list(desc, _DIMS, n)
        strides = self._list(desc, _STRIDES, n)
        if not inner:  # the stride of an axis of one value says nothing
            strides = tuple(0 if size == 1 else stride for size, stride in zip(shape, strides))
        return shape, self._int(desc, _TYPE), strides, inner, self._list(desc, _PADDED, n)

    def _int(self, desc: int, what: int) -> int:
        value = c_int()
        self.library.call("memory_desc_query", desc, what, byref(value))
        return value.value

    def _list(self, desc: int, what: int, count: int) -> tuple[int, ...]:
        values = POINTER(c_int64)()
        self.library.call("memory_desc_query", desc, what, byref(values))
        return tuple(values[i] for i in range(count))


def _destroy(library: Library, owned: Sequence[tuple[str, int]]) -> None:
    for kind, handle in owned:
        library.call(f"{kind}_destroy", handle)


def _row_major(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(0 if size == 1 else math.prod(shape[i + 1 :]) for i, size in enumerate(shape))


def _name(key: tuple[Any, ...]) -> str:
    """oneDNN's way of writing a layout: aBcd16b, with the outer axes by falling stride."""
    shape, dtype, strides, inner, _ = key
    blocked = {axis for axis, _ in inner}
    order = sorted(
        range(len(shape)),
        key=lambda axis: (-strides[axis] if strides[axis] else -math.inf if shape[axis] == 1 else 0, axis),
    )
    outer = "".join(chr(ord("A" if axis in blocked else "a") + axis) for axis in order)
    return outer + "".join(f"{size}{chr(ord('a') + axis)}" for axis, size in inner) + _SUFFIXES.get(dtype, "")
