"""What the steps of one device share: layouts, and a runner of graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from layerforge.backends.cupy.layout import KINDS, ChannelsLast, Form, form_of
from layerforge.engines.cudnn.graphs import Key

STORED = {"TF32": "FP32"}  # what numbers a computing type keeps


class Runner(Protocol):
    """Runs graphs on device arrays."""

    def check(self, key: Key) -> str:
        """Why cuDNN does not take this graph, "" if it does."""

    def run(self, key: Key, arrays: dict[str, Any]) -> None:
        """Computes the outputs among `arrays` from the inputs; the names are the key's."""


class Context:
    """One per net.

    kind    BF16, FP16, TF32 or FP32
    memory  the plain representation of the device
    """

    def __init__(self, backend: Any, runner: Runner, kind: str) -> None:
        self.runner, self.kind = runner, kind
        self.memory, self.kernels, self.xp = backend.representation, backend.ops.kernels, backend.ops.xp
        self._layouts: dict[Form, ChannelsLast] = {}

    def layout(self, shape: Sequence[int], padded: int = 0) -> ChannelsLast:
        """The layout of blobs of this shape; the same one for the same shape."""
        form = form_of(shape, STORED.get(self.kind, self.kind), padded)
        if form not in self._layouts:
            self._layouts[form] = ChannelsLast(form, self.memory, self.kernels)
        return self._layouts[form]

    def room(self, layout: ChannelsLast) -> Any:
        """An array of this layout until the next call of room."""
        dtype = np.dtype(KINDS[layout.form.kind][1])
        doubles = -(-layout.form.count * dtype.itemsize // 8)
        return self.kernels.room(doubles).view(dtype)[: layout.form.count]
