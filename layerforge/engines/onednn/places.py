"""Concat without copies: values that their layers write where the Concat behind them wants them.

In inference, and where nobody looks at the values between, a convolution of our own writes its output as a slice of the
channels of the joined value, which lies channels last. What other layers make is copied there: oneDNN's kernels write
whole tensors only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from layerforge.core.blob import Blob
from layerforge.core.storage import Storage
from layerforge.core.use import Access, Use
from layerforge.engines.onednn.layout import F32, Layout, LayoutFactory
from layerforge.engines.step import Work

WEIGHTED = ("Convolution", "DepthwiseConvolution", "Deconvolution")
SAME_CHANNELS = ("BatchNorm", "Concat", "Dropout", "Eltwise", "LRN", "Pooling", "ReLU", "Scale", "Split")


class Place:
    """A slice of a joined value.

    blob     the joined value
    start    its first channel here
    writers  the layers that write what belongs here
    all      the slices of this value
    taken    the last of the writers writes here itself
    """

    def __init__(self, blob: Blob, start: int, writers: Iterable[int], all_: list[Place]) -> None:
        self.blob, self.start, self.writers, self.all, self.taken = blob, start, frozenset(writers), all_, False
        self.channels = blob.shape[1]
        all_.append(self)

    def take(self, taken: bool) -> None:
        """Whether the last of the writers writes here, from now on."""
        self.taken = taken

    def use(self, whole: Layout) -> Use:
        """The first of those that write overwrites what was there."""
        first = min((max(place.writers) for place in self.all if place.taken), default=-1)
        access = Access.WRITE if first == max(self.writers) else Access.UPDATE
        return Use(self.blob.data, whole.representation, access)


class Target:
    """What a convolution of our own writes, channels last: its own output, or a slice of a joined value.

    shape  of the output
    pitch  numbers between two places of it
    """

    def __init__(self, layouts: LayoutFactory, blob: Blob, shape: Sequence[int], place: Place | None) -> None:
        self.blob, self._place = blob, place
        self.own = layouts.channels_last(shape, F32)
        self.pitch, self.layout = int(shape[1]), self.own
        if place is not None:
            self.pitch = place.channels
            self.layout = layouts.channels_last((shape[0], self.pitch, *shape[2:]), F32)

    def claim(self) -> int:
        """The address of the first number."""
        place, representation = self._place, self.layout.representation
        if place is None:
            return int(self.blob.data.claim(representation).ctypes.data)
        self.blob.data.drop()  # who looks at it is told that it is not kept
        return int(place.blob.data.claim(representation).ctypes.data) + 4 * place.start

    def use(self, over: Storage | None = None) -> Use:
        """As `claim` uses it."""
        if self._place is None:
            return Use(self.blob.data, self.layout.representation, Access.WRITE, over)
        return self._place.use(self.layout)

    def made_by(self, context: Any, work: Work) -> Work:
        """The work that writes it, which says so."""
        place = self._place
        if place is not None:
            work.elsewhere, work.chosen = True, partial(place.take, True)
        context.writes(self.blob, self.own)
        return work


def places(steps: Sequence[Any], keep: str) -> dict[Storage, Place]:
    """Storage → where its value may be written instead: what one Concat of channels reads, and nothing else, and whose
    channels are as many for every shape of the net's inputs."""
    found: dict[Storage, Place] = {}
    readers: dict[Storage, list[Any]] = {}
    writers: dict[Storage, list[Any]] = {}
    fixed: set[Storage] = set()
    for step in steps if keep == "outputs" else ():
        tops, bottoms = ([view.blob.data for view in views] for views in (step.tops, step.bottoms))
        for storage in tops:
            writers.setdefault(storage, []).append(step)
        for storage in bottoms:
            if storage not in tops:
                readers.setdefault(storage, []).append(step)
        if step.layer.type in WEIGHTED or (step.layer.type in SAME_CHANNELS and fixed.issuperset(bottoms)):
            fixed.update(tops)
    for step in steps:
        views = step.bottoms
        if step.layer.type != "Concat" or step.needed or step.layer.along != 1 or len(views[0].blob.shape) != 4:
            continue
        start, together = 0, list[Place]()
        for view in views if fixed.issuperset(view.blob.data for view in views) else ():
            storage = view.blob.data
            if readers.get(storage) == [step] and [each.blob.data for each in views].count(storage) == 1:
                layers = (layer for writer in writers[storage] for layer in writer.layers)
                found[storage] = Place(step.tops[0].blob, start, layers, together)
            start += view.blob.shape[1]
    return found
