"""Planned calls of oneDNN: descriptors that say which kernel and layouts, and primitives bound to blobs.

A primitive is made once. Running it looks up, for each argument, the array of the wanted layout in the blob's storage
(which converts only if another representation is newer), points the memory object at it if it is another array than
last time, and executes.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from ctypes import byref, c_void_p
from typing import Any

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.storage import HOST, Representation
from layerforge.core.use import Access, Use
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.layout import BF16, F32, Layout, LayoutFactory, aligned_zeros
from layerforge.engines.onednn.library import ExecArg, Library, OneDnnError
from layerforge.engines.step import Bound, Refused, holding


def _nothing() -> None:
    return None


class Scratch:
    """One block for the scratchpads of all primitives of a net: they run one after the other."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._block: np.ndarray | None = None

    def need(self, nbytes: int) -> None:
        """Makes room for this many bytes."""
        self.nbytes = max(self.nbytes, nbytes)

    def array(self) -> np.ndarray:
        """The block as it is now; another object after it has grown."""
        if self._block is None or self._block.nbytes < self.nbytes:
            self._block = aligned_zeros(self.nbytes, np.uint8)
        return self._block


class Context:
    """What the steps of one net share: library, layouts, scratch, and which layout each value was last written in.

    compute_type  FP32 or BF16: the type of values between steps, where it has kernels
    exact         values that stay in float32: what losses and outputs are computed from
    reduced       values that were last written in bfloat16
    common        what steps planned for several shapes share, by what it is made of
    places        Storage → where a Concat wants its value
    planning      the layers that are being planned as one step
    fetched       the last convolution planned that fetches the weights of the one behind it
    """

    def __init__(self, library: Library, layouts: LayoutFactory, compute_type: str = "FP32") -> None:
        self.library, self.layouts, self.compute_type = library, layouts, compute_type
        self.exact: set[Any] = set()  # Storages
        self.reduced: set[Any] = set()
        self.scratch, self.spill, self.lent, self.sums = Scratch(), Scratch(), Scratch(), Scratch()
        self.masks, self.tiles = Scratch(), Scratch()
        self.written: dict[Any, Layout] = {}  # Storage → layout
        self.common: dict[Any, Any] = {}
        self.places: dict[Any, Any] = {}
        self.planning: frozenset[int] = frozenset()
        self.fetched: Any = None

    def once(self, made_of: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives, the same for all shapes."""
        if made_of not in self.common:
            self.common[made_of] = make()
        return self.common[made_of]

    def layout_of(self, blob: Blob) -> Layout:
        """The layout that the blob's data will be in when the step being planned runs."""
        known, dtype = self.written.get(blob.data), self.type_of(blob)
        if known is None or known.shape != blob.shape:
            return self.layouts.plain(blob.shape, dtype)
        return self.layouts.typed(known, dtype)

    @contextlib.contextmanager
    def computing_in(self, dtype: int) -> Iterator[None]:
        """Values that steps planned in the block exchange have this type. What a refused rule noted is forgotten."""
        before, self.layouts.values = (dict(self.written), set(self.reduced)), dtype
        try:
            yield
        except BaseException:
            self.written, self.reduced = before
            raise
        finally:
            self.layouts.values = F32

    def type_of(self, blob: Blob) -> int:
        """The type of the blob's values in the step being planned."""
        return F32 if blob.data in self.exact else self.layouts.values

    def writes(self, blob: Blob, layout: Layout | None) -> None:
        """Notes the layout of a top; None: plain, in float32."""
        (self.reduced.discard if layout is None or layout.type != BF16 else self.reduced.add)(blob.data)
        if layout is None or layout.row_major:
            self.written.pop(blob.data, None)
        else:
            self.written[blob.data] = layout


class Descriptor:
    """A primitive descriptor.

    name   "convolution_forward", ...
    impl   the kernel that oneDNN chose, such as "jit:avx512_core"
    """

    def __init__(
        self,
        context: Context,
        name: str,
        *args: Any,
        post_ops: Callable[[Library, int], None] | None = None,
        first: int | None = None,
    ) -> None:
        library = context.library
        self.context, self.name, self.handle = context, name, 0
        args = (
            (library.engine, *args) if first is None else (first, library.engine, *args)
        )  # a reorder's source comes first
        attributes = library.make("primitive_attr_create")
        library.call("primitive_attr_set_scratchpad_mode", attributes, n.SCRATCHPAD_USER)
        chain = library.make("post_ops_create") if post_ops else None
        try:
            if post_ops and chain is not None:
                post_ops(library, chain)
                library.call("primitive_attr_set_post_ops", attributes, chain)
            self.handle = library.make(f"{name}_primitive_desc_create", *args, attributes)
        except OneDnnError as error:
            raise Refused(f"oneDNN has no kernel: {error}") from None
        finally:
            if chain is not None:
                library.call("post_ops_destroy", chain)
            library.call("primitive_attr_destroy", attributes)
        self.impl = library.text_of(self.handle)

    def __del__(self) -> None:
        if self.handle:
            self.context.library.call("primitive_desc_destroy", self.handle)

    @property
    def slow(self) -> bool:
        """Whether it is oneDNN's reference code."""
        return self.impl.startswith("ref") or ":ref" in self.impl

    def layout(self, arg: int) -> Layout:
        """The layout of an argument."""
        found = self.context.library.desc_of(self.handle, n.EXEC_ARG_DESC, arg)
        assert found is not None, (self.name, arg)
        return self.context.layouts.of(found)

    def fast(self) -> Descriptor:
        """Itself; raises Refused for reference code."""
        if self.slow:
            raise Refused(f"oneDNN has only reference code ({self.impl})")
        return self


class Argument:
    """One argument of a primitive: a blob's data or diff in a layout.

    part            "data" or "diff"
    representation  under which the storage keeps it; the layout's own unless the storage's plain order is another
    """

    __slots__ = ("index", "blob", "part", "layout", "representation", "memory", "held", "_set")

    def __init__(
        self, index: int, blob: Blob | None, part: str, layout: Layout, representation: Representation | None = None
    ) -> None:
        self.index, self.blob, self.part, self.layout = index, blob, part, layout
        self.representation = layout.representation if representation is None else representation
        self.held: Callable[[], Any] = _nothing
        self.memory = 0

    def attach(self, library: Library) -> None:
        """Makes the memory object."""
        self.memory = library.make("memory_create", self.layout.desc, library.engine, None)
        self._set = library.function("memory_set_data_handle")

    def point(self, array: np.ndarray) -> None:
        """Lets the memory object be this array."""
        self._set(self.memory, array.ctypes.data)
        self.held = weakref.ref(array)

    access: Access | None = None  # None: the memory is its own

    def bind(self) -> None:
        """Before each run."""
        raise NotImplementedError


class Read(Argument):
    """Is read."""

    __slots__ = ()
    access = Access.READ

    def bind(self) -> None:
        array = getattr(self.blob, self.part).array(self.representation)
        if self.held() is not array:
            self.point(array)


class Lent(Read):
    """A parameter in another layout than its home, in a block that all such share: every update changes it anyway."""

    __slots__ = ("block",)

    def __init__(
        self, index: int, blob: Blob, layout: Layout, representation: Representation, context: Context
    ) -> None:
        super().__init__(index, blob, "data", layout, representation)
        self.block = context.lent
        self.block.need(layout.nbytes)

    def bind(self) -> None:
        storage = self.blob.data if self.blob else None
        if storage is None or storage.home is self.representation or storage.home.plain or self.representation is HOST:
            super().bind()
            return
        target = self.block.array()[: self.layout.nbytes].view(self.layout.dtype)
        if self.representation.convert(storage.home, storage.array(storage.home), target):  # type: ignore[attr-defined]
            self.point(target)
        else:
            super().bind()


class Write(Argument):
    """Is overwritten whole."""

    __slots__ = ()
    access = Access.WRITE

    def bind(self) -> None:
        array = getattr(self.blob, self.part).claim(self.representation)
        if self.held() is not array:
            self.point(array)


class Gradient(Argument):
    """A parameter's gradient: overwritten when it was cleared, else added to."""

    __slots__ = ("extra", "adds", "parameter")
    access = Access.ADD

    def __init__(self, index: int, blob: Blob, layout: Layout, representation: Representation | None = None) -> None:
        super().__init__(index, blob, "diff", layout, representation)
        self.parameter = blob
        self.extra: np.ndarray | None = None
        self.adds = False

    def bind(self) -> None:
        storage = self.parameter.diff
        self.adds = not storage.cleared
        if self.adds:
            if self.extra is None:
                self.extra = aligned_zeros(self.layout.nbytes)
            array = self.extra
        else:
            array = storage.claim(self.representation)
        if self.held() is not array:
            self.point(array)

    def finish(self) -> None:
        """After each run."""
        if self.adds and self.extra is not None:
            storage = self.parameter.diff
            total = storage.array(self.representation)
            np.add(total, self.extra[: total.size], out=total)
            storage.wrote(self.representation)


class Fixed(Argument):
    """An array of the step's own: statistics, a workspace.

    nbytes  what it has taken itself; 0 for an array that was given
    """

    __slots__ = ("array", "nbytes")

    def __init__(self, index: int, layout: Layout, array: np.ndarray | None = None) -> None:
        super().__init__(index, None, "", layout)
        self.array = aligned_zeros(layout.nbytes, np.uint8) if array is None else array
        self.nbytes = layout.nbytes if array is None else 0

    def bind(self) -> None:
        if self.held() is not self.array:
            self.point(self.array)


class Pad(Argument):
    """The scratchpad."""

    __slots__ = ("scratch",)

    def __init__(self, layout: Layout, scratch: Scratch) -> None:
        super().__init__(n.SCRATCHPAD, None, "", layout)
        self.scratch = scratch
        scratch.need(layout.nbytes)

    def bind(self) -> None:
        array = self.scratch.array()
        if self.held() is not array:
            self.point(array)


class Primitive:
    """A kernel with its arguments. Reads come before writes, so that working in place sees the old value."""

    def __init__(self, desc: Descriptor, arguments: Sequence[Argument]) -> None:
        context = desc.context
        library = context.library
        self.name, self.impl = desc.name, desc.impl
        handle = c_void_p()
        library.call("primitive_create", byref(handle), desc.handle)
        arguments = list(arguments)
        pad = library.desc_of(desc.handle, n.EXEC_ARG_DESC, n.SCRATCHPAD)
        if pad is not None and library.desc_size(pad):
            arguments.append(Pad(context.layouts.of(pad), context.scratch))
        for argument in arguments:
            argument.attach(library)
        self.arguments = sorted(arguments, key=lambda a: isinstance(a, (Write, Gradient)))
        self._gradients = [a for a in arguments if isinstance(a, Gradient)]
        self._handle, self._stream, self._count = handle, c_void_p(library.stream), len(arguments)
        self._args = (ExecArg * len(arguments))(*(ExecArg(a.index, a.memory) for a in arguments))
        self._execute = library.execute
        weakref.finalize(self, _destroy, library, handle, [a.memory for a in arguments])

    @property
    def layouts(self) -> tuple[tuple[str, str], ...]:
        """(argument, layout), without scratch and workspace."""
        named = ((n.NAMES.get(a.index, ""), a.layout.name) for a in self.arguments)
        return tuple((name, layout) for name, layout in named if name)

    def primitives(self) -> list[Primitive]:
        """Itself: what stands beside primitives lists those it has."""
        return [self]

    def execute(self) -> None:
        """The kernel alone, on the memory of the last run."""
        status = self._execute(self._handle, self._stream, self._count, self._args)
        if status:
            raise OneDnnError("primitive_execute", status)

    def run(self) -> None:
        """Binds and executes."""
        for argument in self.arguments:
            argument.bind()
        self.execute()
        for gradient in self._gradients:
            gradient.finish()

    def bound(self) -> Bound | None:
        """`execute`, with its arrays; None where binding is more than to look these up."""
        arrays = [argument.held() for argument in self.arguments]
        if self._gradients or any(array is None for array in arrays):
            return None
        return None if any(isinstance(a, Lent) for a in self.arguments) else holding(self.execute, arrays)

    def uses(self) -> list[Use]:
        """What it reads and writes, as it binds them."""
        return [
            Use(getattr(a.blob, a.part), a.representation, a.access)
            for a in self.arguments
            if a.blob is not None and a.access is not None
        ]


def _destroy(library: Library, primitive: c_void_p, memories: Sequence[int]) -> None:
    library.call("primitive_destroy", primitive)
    for memory in memories:
        library.call("memory_destroy", memory)
