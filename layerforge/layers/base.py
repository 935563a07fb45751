"""Layer: the four verbs of Caffe. A layer says what; the backend's ops say how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from layerforge.core.blob import Blob, View
from layerforge.core.errors import LayerError
from layerforge.core.random import Random
from layerforge.core.workspace import Buffer, Workspace
from layerforge.layers.fillers import FillerParams, FirstValue, check_filler
from layerforge.netdef.params import Params
from layerforge.netdef.types import LayerDef, Phase


class NoParams(Params):
    """For layers without parameters of their own."""


class Layer:
    """One layer of a net. Subclasses set `type`, `Params` and the verbs, and are found by the folder they are in.

    Class attributes
      type        the name in a prototxt
      aliases     other names of the same layer in forks
      Params      the typed parameters
      bottoms, tops   how many: an int, or (least, most) with most None for any number
      paired      as many tops as bottoms
      auto_tops   missing tops are made without a name, up to the least number (losses)
      loss        the first top has loss weight 1 unless the text says otherwise
      no_gradient bottoms (by index) that never get a gradient: labels, indices, flags
      dynamic     reshape runs before every forward, because tops depend on more than the shapes of bottoms
      in_place    whether a top may be a bottom; tops of other shapes never may
      shares_data the tops are the bottom's own memory (Split, Flatten, Reshape)
      writes_tops False when forward leaves the tops' data as it finds it (Input, and all that share data)
      backward_reads_bottoms, backward_reads_tops   whether backward reads their data: it need not be kept if not
      updates_blobs   forward changes the layer's own parameters (BatchNorm in training)
      captured    False when forward or backward cannot be recorded into a CUDA graph; `uncaptured_reason` says why
      arrays      "device": arrays of the backend; "host": NumPy arrays on every backend (user layers)
      runs_user_code  arrays that users hold must be up to date while it runs

    Attributes
      name, phase, params, dtype
      ops, xp     the backend's kernels and its array module
      rng         random streams of this layer: `self.rng.stream("mask")`
      blobs       the learned parameters, as views
      fixed       indices of blobs that no solver moves, whatever lr_mult says: statistics that forward keeps
    """

    type: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()
    Params: ClassVar[type[Params]] = NoParams
    bottoms: ClassVar[int | tuple[int, int | None]] = 1
    tops: ClassVar[int | tuple[int, int | None]] = 1
    paired: ClassVar[bool] = False
    auto_tops: ClassVar[bool] = False
    loss: ClassVar[bool] = False
    no_gradient: ClassVar[tuple[int, ...]] = ()
    dynamic: ClassVar[bool] = False
    in_place: ClassVar[bool] = True
    shares_data: ClassVar[bool] = False
    writes_tops: ClassVar[bool] = True
    backward_reads_bottoms: ClassVar[bool] = True
    backward_reads_tops: ClassVar[bool] = True
    updates_blobs: ClassVar[bool] = False
    captured: ClassVar[bool] = True
    uncaptured_reason: ClassVar[str] = ""
    arrays: ClassVar[str] = "device"
    runs_user_code: ClassVar[bool] = False

    def __init__(
        self,
        definition: LayerDef,
        *,
        backend: Any,
        rng: Random,
        phase: Phase = Phase.TEST,
        dtype: Any = np.float32,
        workspace: Workspace | None = None,
        folder: str = "",
    ) -> None:
        self.definition, self.name, self.phase = definition, definition.name, phase
        self.params: Any = self.Params.from_layer(definition.params, str(definition), definition.where)
        self.backend, self.ops, self.xp = backend, backend.ops, backend.xp
        self.rng, self.dtype, self.folder = rng, np.dtype(dtype), folder
        self.blobs: list[View] = []
        self.fixed: set[int] = set()
        self.needs_gradient: list[bool] = []  # per parameter; the net sets it from lr_mult and force_backward
        self.workspace = workspace or Workspace(backend.representation)
        self._scratch_end = 0

    def setup(self, bottom: Sequence[View], top: Sequence[View]) -> None:
        """Checks the bottoms and adds parameters. Runs once, after the parameters were read, before reshape."""

    def reshape(self, bottom: Sequence[View], top: Sequence[View]) -> None:
        """Gives the tops their shapes. Touches no memory: scratch and kept buffers are declared here."""
        raise NotImplementedError

    def forward(self, bottom: Sequence[View], top: Sequence[View]) -> None:
        """Writes `data` of every top."""
        raise NotImplementedError

    def backward(self, top: Sequence[View], propagate_down: Sequence[bool], bottom: Sequence[View]) -> None:
        """Overwrites `diff` of bottom[i] if propagate_down[i], adds to `diff` of blobs[i] if needs_gradient[i]."""
        if any(propagate_down):
            raise LayerError(f"{self.definition} has no gradient", where=self.definition.where,
                             hint="set propagate_down: false for the layers that read it, or remove the loss below it")

    def add_blob(self, shape: Sequence[int], filler: FillerParams | None = None, *, fixed: bool = False) -> View:
        """A learned parameter; its first value is made by the filler (zeros without) when it is first read.

        fixed  a statistic that forward keeps: no gradient, and no solver moves it
        """
        index = len(self.blobs)
        blob = Blob(shape, self.dtype, f"{self.name}.{index}")
        stream = self.rng.stream(f"filler{index}")
        filler = filler or FillerParams()
        check_filler(filler, blob.shape, str(self.definition), self.definition.where)
        blob.data.initial = FirstValue(filler, blob.shape, stream)
        view = View(blob, self.backend.representation)
        self.blobs.append(view)
        self.needs_gradient.append(not fixed)
        if fixed:
            self.fixed.add(index)
        return view

    def scratch(self, shape: Sequence[int], dtype: Any = None) -> Buffer:
        """Memory for one verb: anything may be in it when the verb starts. Declare in reshape."""
        dtype = self.dtype if dtype is None else dtype
        buffer, self._scratch_end = self.workspace.scratch(shape, dtype, self._scratch_end)
        return buffer

    @property
    def scratch_nbytes(self) -> int:
        """Bytes of scratch that it has declared."""
        return self._scratch_end

    def kept(self, shape: Sequence[int], dtype: Any = None) -> Buffer:
        """Memory of this layer from forward to backward: a mask, a saved statistic. Declare in reshape."""
        return self.workspace.kept(shape, self.dtype if dtype is None else dtype)

    def constant(self, values: np.ndarray, dtype: Any = None) -> View:
        """Fixed numbers on the layer's backend: read them as `.data`. They move there when first read."""
        blob = Blob(values.shape, self.dtype if dtype is None else dtype, f"{self.name}.constant")
        blob.data.initial = lambda: values
        self.workspace.generation += 1
        return View(blob, self.backend.representation)

    def require(self, condition: bool, message: str, *, hint: str | None = None, field: str = "") -> None:
        """Raises LayerError with this layer's place and name unless the condition holds."""
        if not condition:
            where = self.params.where(field) if field else None
            raise LayerError(f"{self.definition}: {message}", where=where or self.definition.where, hint=hint)

    def axis(self, index: int, ndim: int, *, field: str = "axis", extra: int = 0) -> int:
        """A possibly negative axis of an ndim-dimensional blob as 0 … ndim-1+extra.

        Raises LayerError when the blob has no such axis.
        """
        low, high = -ndim - extra, ndim - 1 + extra
        self.require(low <= index <= high, f"{field}: {index}, but the blob has {ndim} axes",
                     hint=f"{field} may be {low} to {high}", field=field)
        return index + ndim + extra if index < 0 else index

    def start(self, bottom: Sequence[View], top: Sequence[View]) -> None:
        """reshape, with the scratch declared afresh. Callers outside the layer use this.

        Raises LayerError when a top that is a bottom too gets another shape, or the layer needs its bottoms intact.
        """
        self._scratch_end = 0
        inside = [(view, view.shape) for view in bottom if any(view.blob is other.blob for other in top)]
        hint = "give the top another name"
        self.require(self.in_place or not inside, "cannot work in place", hint=hint)
        self.reshape(bottom, top)
        for view, shape in inside:
            self.require(view.shape == shape, f"cannot work in place: the bottom is {shape}, the top {view.shape}",
                         hint=hint)

    def close(self) -> None:
        """Ends what runs beside the net: data workers, open files."""

    def state(self) -> dict[str, Any]:
        """What a later run needs to go on exactly here, beside parameters and random draws: a data position, a carried
        hidden state. Numbers, texts, bytes, arrays, and lists and dicts of these."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from a saved `state()`."""
