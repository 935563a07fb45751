"""What the steps of one net share: layouts, who writes which value channels last, room, and a runner of graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from layerforge.backends.cupy.channels_last import ChannelsLastKernels
from layerforge.backends.cupy.layout import KINDS, ChannelsLast, Form, form_of
from layerforge.core.blob import Blob
from layerforge.core.storage import Storage
from layerforge.engines.cudnn.graphs import Key

STORED = {"TF32": "FP32"}  # what numbers a computing type keeps


class Runner(Protocol):
    """Runs graphs on device arrays."""

    def check(self, key: Key) -> str:
        """Why cuDNN does not take this graph, "" if it does."""

    def run(self, key: Key, arrays: dict[str, Any]) -> None:
        """Computes the outputs among `arrays` from the inputs; the names are the key's. Numbers of the graph lie on the
        host, in NumPy arrays of one element.

        Raises NoPlan when no plan of cuDNN computes this graph right.
        """

    def plan_name(self, key: Key) -> str:
        """The chosen plan's name; "" before it is chosen."""


class Own:
    """An array of a step's own on the device: taken when it is first asked for, and kept."""

    def __init__(self, memory: Any, count: int, dtype: Any = np.float32, value: float = 0.0) -> None:
        self._memory, self._count, self._dtype, self._value = memory, count, np.dtype(dtype), value
        self._array: Any = None

    @property
    def nbytes(self) -> int:
        return self._count * self._dtype.itemsize

    def __call__(self) -> Any:
        if self._array is None:
            self._array = self._memory.zeros(self._count, self._dtype)
            if self._value:
                self._array.fill(self._value)
        return self._array


class Room:
    """Memory for what one step hands from one graph to the next: all steps use it in turn."""

    def __init__(self, context: Context) -> None:
        self._context, self.nbytes = context, 0
        self._blocks: list[Any] = []  # kept: recorded iterations point into them

    def need(self, nbytes: int) -> None:
        self.nbytes = max(self.nbytes, nbytes)

    def array(self, count: int, dtype: Any) -> Any:
        """So many numbers, which hold anything."""
        if not self._blocks or self._blocks[-1].nbytes < self.nbytes:
            self._blocks.append(self._context.memory.zeros(-(-self.nbytes // 8), np.dtype(np.float64)))
        return self._blocks[-1].view(dtype)[:count]


class Context:
    """One per net.

    kind    BF16, FP16, TF32 or FP32
    keep    "all": only what works in place may be hidden;  "outputs": whatever lies between may be
    memory  the plain representation of the device
    last    kernels on channels-last arrays
    """

    def __init__(self, backend: Any, runner: Runner, kind: str, keep: str = "all") -> None:
        self.runner, self.kind, self.keep = runner, kind, keep
        self.memory, self.kernels, self.xp = backend.representation, backend.ops.kernels, backend.ops.xp
        self.stored = STORED.get(kind, kind)
        self.dtype = np.dtype(KINDS[self.stored][1])
        self.last = ChannelsLastKernels(self.kernels, self.stored)
        self.weights, self.gradients = Room(self), Room(self)
        self.homes: dict[Blob, Any] = {}  # of parameters of the step that is being planned
        self._layouts: dict[Form, ChannelsLast] = {}
        self._written: dict[Storage, ChannelsLast | None] = {}

    def layout(self, shape: Sequence[int], padded: int = 0, stored: str = "") -> ChannelsLast:
        """The layout of blobs of this shape; the same one for the same shape.

        stored  other numbers than the net's: FP32, for what solvers move
        """
        form = form_of(shape, stored or self.stored, padded)
        if form not in self._layouts:
            self._layouts[form] = ChannelsLast(form, self.memory, self.kernels)
        return self._layouts[form]

    def lies_last(self, blob: Blob) -> bool:
        """Whether the step that writes the blob's data leaves it channels last."""
        layout = self._written.get(blob.data)
        return layout is not None and layout.form.channels == blob.shape[1]  # not seen with other axes

    def writes(self, blob: Blob, layout: ChannelsLast | None) -> None:
        """Says how the data will lie; None: in plain order."""
        self._written[blob.data] = layout

    def own(self, count: int, dtype: Any = np.float32, value: float = 0.0) -> Own:
        return Own(self.memory, count, dtype, value)

    def check(self, *keys: Key) -> str:
        """Why cuDNN does not take one of these graphs, "" if it takes all."""
        return next((why for key in keys if (why := self.runner.check(key))), "")
