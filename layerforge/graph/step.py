"""Step: the unit a plan runs. LayerStep runs a layer's own verbs; engines bring others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from layerforge.core.blob import Blob, View
from layerforge.core.storage import HOST, Storage
from layerforge.core.use import Access, Use, Uses
from layerforge.layers.base import Layer


class Step(Protocol):
    """Some layers of a net, run as one.

    layers    the indices of the layers it covers
    engine    who runs it, for `time --explain`
    parts     the steps of its single layers, for passes that cut it and for hooks
    in_parts  the last forward pass ran by the parts, and backward must too
    """

    layers: tuple[int, ...]
    engine: str
    in_parts: bool

    @property
    def parts(self) -> Sequence[Step]:
        """The steps of its single layers."""

    def reshape(self) -> None:
        """Gives the tops their shapes again, after the bottoms' shapes changed."""

    def forward(self) -> None:
        """Computes the data of its tops."""

    def backward(self) -> None:
        """Computes the gradients of its bottoms and adds to those of its parameters."""

    def replay(self) -> None:
        """Runs forward again by the parts, where the last pass ran as one: then they hold what backward needs."""

    def uses(self) -> Uses:
        """What forward and backward read and write, for the present shapes."""

    def buffers(self) -> dict[int, int]:
        """The engine's own memory that no plan places: identity (several steps may share one) → bytes."""


class LayerStep:
    """One layer, by its own verbs.

    Reshape runs again whenever a bottom has another shape than last time, and before every forward for a dynamic layer.
    Only declared writes make a representation the newest: tops in forward, bottoms' and parameters' diffs in backward.
    """

    engine = "layer"

    def __init__(
        self,
        index: int,
        layer: Layer,
        bottoms: Sequence[Blob],
        tops: Sequence[Blob],
        propagate_down: Sequence[bool] = (),
    ) -> None:
        self.layers: tuple[int, ...] = (index,)
        self.in_parts = False
        self.layer = layer
        self.representation = layer.backend.representation if layer.arrays == "device" else HOST
        self.bottoms = [View(blob, self.representation) for blob in bottoms]
        self.tops = [View(blob, self.representation) for blob in tops]
        self.propagate_down = list(propagate_down) or [False] * len(bottoms)
        self.needed = True  # whether backward has anything to do; the net decides
        self._shapes: tuple[tuple[int, ...], ...] | None = None

    @property
    def parts(self) -> Sequence[Step]:
        """Itself: made anew, since a step that held itself would outlive its net until the next collection."""
        return (self,)

    def setup(self) -> None:
        """The layer's setup and first reshape."""
        self.layer.setup(self.bottoms, self.tops)
        self.reshape()

    def reshape(self) -> None:
        self.layer.start(self.bottoms, self.tops)
        self._shapes = tuple(view.blob.shape for view in self.bottoms)

    def forward(self) -> None:
        if self.layer.dynamic or tuple(view.blob.shape for view in self.bottoms) != self._shapes:
            self.reshape()
        fresh = self._claim_tops()
        self.layer.forward(self.bottoms, self.tops)
        for view in self.tops:  # also those whose shape, and so memory, changed while the layer ran
            if view.blob.data not in fresh and self.layer.writes_tops:
                view.blob.data.wrote(self.representation)
        if self.layer.updates_blobs:
            for blob in self.layer.blobs:
                blob.blob.data.wrote(self.representation)

    def backward(self) -> None:
        tops = {id(view.blob.diff) for view in self.tops}
        targets = [view.blob.diff for view, wanted in zip(self.bottoms, self.propagate_down) if wanted]
        for storage in targets:
            if id(storage) not in tops:
                storage.claim(self.representation)
        self.layer.backward(self.tops, self.propagate_down, self.bottoms)
        if not self.layer.shares_data:
            for storage in targets:
                if id(storage) in tops:
                    storage.wrote(self.representation)
        for view, wanted in zip(self.layer.blobs, self.layer.needs_gradient):
            if wanted:
                view.blob.diff.wrote(self.representation)

    def replay(self) -> None:
        """Nothing was fused."""

    def uses(self) -> Uses:
        layer, inputs = self.layer, {view.blob.data for view in self.bottoms}
        forward = [] if layer.shares_data else [self._use(view.blob.data, Access.MAY_READ) for view in self.bottoms]
        if layer.writes_tops:
            forward += [self._use(view.blob.data, Access.UPDATE if view.blob.data in inputs else Access.WRITE)
                        for view in self.tops]
        return Uses(tuple(forward), self._backward_uses() if self.needed else ())

    def buffers(self) -> dict[int, int]:
        return {}

    def _backward_uses(self) -> tuple[Use, ...]:
        layer, tops = self.layer, {view.blob.diff for view in self.tops}
        reads = [view.blob.data for view in self.bottoms if layer.backward_reads_bottoms and not layer.shares_data]
        reads += [view.blob.data for view in self.tops if layer.backward_reads_tops and not layer.shares_data]
        uses = [self._use(storage, Access.MAY_READ) for storage in (*reads, *(view.blob.diff for view in self.tops))]
        for view, wanted in zip(self.bottoms, self.propagate_down):
            if wanted and not (layer.shares_data and view.blob.diff in tops):
                uses.append(self._use(view.blob.diff, Access.UPDATE if view.blob.diff in tops else Access.WRITE))
        uses += [self._use(view.blob.diff, Access.ADD) for view, wanted in zip(layer.blobs, layer.needs_gradient)
                 if wanted]
        return tuple(uses)

    def _use(self, storage: Storage, access: Access) -> Use:
        return Use(storage, self.representation, access)

    def _claim_tops(self) -> list[Storage]:
        """Tops that forward overwrites whole are not converted from an older copy first."""
        if not self.layer.writes_tops:
            return []
        inputs = {id(view.blob.data) for view in self.bottoms}
        fresh = [
            view.blob.data for view in self.tops if id(view.blob.data) not in inputs and view.blob.data.initial is None
        ]
        for storage in fresh:
            storage.claim(self.representation)
        return fresh
