"""Replay: what an engine has done in one forward pass, done again as a list of calls on the same memory.

A step of an engine looks up arrays, claims and drops them, and asks whether its weights have changed: 10 to 20
microseconds, which small batches feel. Where two passes find everything in the same place, the next ones need none of
this: the kernels alone give the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Any

from layerforge.core.blob import Blob
from layerforge.core.storage import Storage, Traffic
from layerforge.core.use import Access, Use
from layerforge.engines.step import Bound, EngineStep
from layerforge.graph.memory import Memory
from layerforge.graph.step import Step

_DATA, _VERSION, _SHAPE = attrgetter("data"), attrgetter("version"), attrgetter("shape")


def longest(wanted: Sequence[bool]) -> range:
    """The longest stretch of True."""
    best, start = range(0), 0
    for i, each in enumerate(wanted):
        if not each:
            start = i + 1
        elif i + 1 - start > len(best):
            best = range(start, i + 1)
    return best


class Calls:
    """A stretch of steps as calls, and what must still be so for them to be right.

    blobs     all that the steps see, with the storages they had
    bottoms   what the steps read, with the shapes it had
    watched   values that no plan places, with their versions: parameters, what follows from them, what is not written
    """

    def __init__(self, calls: Sequence[Bound], steps: Sequence[EngineStep], watched: Collection[Storage]) -> None:
        self._calls = calls
        parts = [part for step in steps for part in step.parts]
        self._bottoms: list[Blob] = [view.blob for part in parts for view in part.bottoms]
        behind = (view.blob for part in parts for view in chain(part.tops, part.layer.blobs))
        self._blobs = list(dict.fromkeys(chain(self._bottoms, behind)))
        self._watched = list(watched)
        self._storages, self._versions, self._shapes = self._now()

    def _now(self) -> tuple[list[Any], list[Any], list[Any]]:
        return list(map(_DATA, self._blobs)), list(map(_VERSION, self._watched)), list(map(_SHAPE, self._bottoms))

    @property
    def right(self) -> bool:
        """Whether nothing has changed that they count on."""
        return (self._storages, self._versions, self._shapes) == self._now()

    def __call__(self) -> None:
        for call in self._calls:
            call()


class Replay:
    """The longest stretch of an engine's steps in a net that only runs forward.

    The first pass in the arena, and the first after parameters have changed, is an ordinary one. The next one notes
    each step's kernels; from then on these run alone, while `Memory.bound` is there and right. A step is run the
    ordinary way among them where it converted something, where it uses what no plan places (inputs, outputs), and
    where its runs have no bare form; what such steps, and those outside the stretch, see of others' values is placed,
    claimed and dropped as ever.

    first, end  the numbers of its first step, and of the first behind it
    passes      how many ran by the kernels alone
    """

    def __init__(self, steps: Sequence[Step], memory: Memory, values: Sequence[Blob], apart: Collection[int]) -> None:
        """values: the net's blobs; apart: layers that need more than their step's `forward`"""
        self._steps, self._memory, self._values = steps, memory, values
        fit = [isinstance(step, EngineStep) and not set(step.layers).intersection(apart) for step in steps]
        stretch = longest(fit) if memory.packs else range(0)
        self.first, self.end = stretch.start, stretch.stop
        self._inside = [step for step in steps[self.first : self.end] if isinstance(step, EngineStep)]
        layers = (part.layer for step in self._inside for part in step.parts)
        self._parameters: list[Blob] = [view.blob for layer in layers for view in layer.blobs]
        self._seen: object = None
        self.passes = 0

    def run(self) -> bool:
        """Runs the stretch, in the middle of a pass whose turn it is; False: it is to be run the ordinary way."""
        memory = self._memory
        if not self._inside or memory.position != self.first or memory.poison:
            return False
        if memory.bound is not None:
            if memory.bound.right:
                memory.bound()
                memory.position, self.passes = self.end, self.passes + 1
                return True
            memory.bound = None
        state = self._state()
        if state != self._seen:
            self._seen = state
            return False
        self._note(state)
        return True

    def _state(self) -> object:
        storages = list(map(_DATA, self._parameters))
        return self._memory.taken, storages, list(map(_VERSION, storages))

    def _note(self, state: object) -> None:
        """Runs the stretch, and makes calls of it."""
        found = [self._forward(step) for step in self._inside]
        if self._state() != state or self._memory.position != self.end:  # given up: shapes have changed
            return
        uses = [step.uses().forward for step in self._steps]
        planned = self._memory.placed
        own = {blob.data for blob in self._values} - planned
        kernels = [
            made if all(_settled(use, planned, own) for use in used) else None
            for made, used in zip(found, uses[self.first : self.end])
        ]
        bare = {i for i, made in enumerate(kernels, self.first) if made is not None}
        shown = {use.storage for i, used in enumerate(uses) if i not in bare for use in used}
        calls: list[Bound] = []
        for i, made in enumerate(kernels, self.first):
            before, behind = self._memory.moves(i, shown)
            claims = [partial(use.storage.claim, use.representation) for use in uses[i]
                      if use.access is not Access.READ and use.storage in shown]
            calls += (*before, self._steps[i].forward) if made is None else (*before, *claims, *made)
            calls += behind
        read = (use.storage for i in bare for use in uses[i] if use.storage not in planned)
        tops = (view.blob.data for step in self._inside for part in step.parts for view in part.tops)
        unused = (storage for storage in tops if storage in own - shown)  # a user's value is to be dropped, if there is
        watched = dict.fromkeys(chain(map(_DATA, self._parameters), read, unused))
        self._memory.bound = Calls(calls, self._inside, watched)

    def _forward(self, step: EngineStep) -> list[Bound] | None:
        """The ordinary way; returns the kernels, None if there was more to do."""
        copies = Traffic.copies
        self._memory.enter()
        step.forward()
        kernels = step.work.bound() if Traffic.copies == copies else None
        self._memory.leave()
        return kernels


def _settled(use: Use, planned: Collection[Storage], own: Collection[Storage]) -> bool:
    """Whether the place of what is used follows from the plan, or it is read alone and belongs to no user."""
    if use.storage in planned:
        return use.access in (Access.READ, Access.WRITE, Access.UPDATE)
    return use.access is Access.READ and use.storage not in own and use.storage.places is None
