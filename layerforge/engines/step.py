"""Step of an engine: some layers of a net as a list of runs, which a rule makes for their present shapes."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from layerforge.core.blob import Blob
from layerforge.core.storage import HOST, Representation
from layerforge.core.use import Use, Uses, joined

Bound = Callable[[], None]
"""What a run has just done, on the same memory: the kernel alone. It is called while all that the run reads and writes
lies where it did, no value that it reads has to be converted, and no parameter has changed: what follows from those
need not be made again. It holds what memory of its own it needs; None where no such thing can be had."""


def holding(call: Bound, *needed: object) -> Bound:
    """The call, which keeps alive what it needs."""

    def held(needed: object = needed) -> None:
        call()

    return held


def nothing() -> None:
    """The bound form of what is done as long as no parameter changes."""


class Refused(Exception):
    """A rule does not take the layers; the text is the reason."""


class Runs(Protocol):
    """A kernel of the engine's library, or what stands beside those.

    One that only runs forward may have `bound() -> Bound | None` too, see there; without it, it is run anew each time.
    """

    def run(self) -> None:
        """Computes."""

    def uses(self) -> Sequence[Use]:
        """What it reads and writes of the net's values, and of the step's own that a plan may place."""


log = logging.getLogger("layerforge")


class Work:
    """What a rule makes of some layers for their present shapes: lists that run in order.

    flops     multiplications and additions of forward; backward is taken as twice that where it has weights
    restore   puts back the bottom's values that forward has overwritten; None when they are still there
    elsewhere it writes, or expects, values elsewhere than in their blobs: not where these are looked at
    chosen    called when it is what runs from now on
    """

    def __init__(self) -> None:
        self.forwards: list[Runs] = []
        self.backwards: list[Runs] = []
        self.flops = 0
        self.restore: Callable[[], None] | None = None
        self.elsewhere = False
        self.chosen: Callable[[], None] | None = None

    def uses(self) -> Uses:
        """What both passes read and write."""
        forward, backward = (
            tuple(use for each in runs for use in each.uses()) for runs in (self.forwards, self.backwards)
        )
        return Uses(forward, backward)

    def bound(self) -> list[Bound] | None:
        """What forward has just done, on the same memory; None if some of it has to be run anew."""
        found = [each.bound() if hasattr(each, "bound") else None for each in self.forwards]
        return None if None in found else [each for each in found if each is not None]


class LayerWork(Work):
    """The layers' own verbs: for shapes that the rule refuses after a reshape."""

    def __init__(self, steps: Sequence[Any], reason: str) -> None:
        super().__init__()
        self.reason = reason
        self.forwards = [_Verb(step.forward) for step in steps]
        self.backwards = [_Verb(step.backward) for step in reversed(steps) if step.needed]
        self._steps = steps

    def uses(self) -> Uses:
        return joined(step.uses() for step in self._steps)


class _Verb:
    def __init__(self, run: Callable[[], None]) -> None:
        self.run = run

    def uses(self) -> Sequence[Use]:
        raise NotImplementedError("LayerWork asks the steps")


MAX_SHAPES = 16  # for so many shapes a step stays planned: those of nets whose shapes change to and fro

Rule = Callable[[Any, Sequence[Any]], Work]
"""From an engine's context and the layers' own steps; raises Refused."""


class EngineStep:
    """Layers that run by a rule.

    layers     their numbers
    parts      their own steps, for passes that cut this one
    in_parts   the last forward pass ran by the parts: backward must too
    work       what runs for the present shapes
    """

    engine = ""

    def __init__(self, context: Any, parts: Sequence[Any], rule: Rule) -> None:
        self.layers = tuple(i for part in parts for i in part.layers)
        self.parts, self.in_parts = tuple(parts), False
        self.context, self._rule = context, rule
        self._works: dict[Any, Work] = {}
        self._bottoms = [view.blob for view in parts[0].bottoms]
        self._shapes = self._now()
        self.work = self._works[self._shapes] = self.plan()
        self._choose(self.work)

    def plan(self) -> Work:
        """What the rule makes of the layers. Raises Refused."""
        return self._rule(self.context, self.parts)

    def _now(self) -> tuple[tuple[int, ...], ...]:
        return tuple(blob.shape for blob in self._bottoms)

    def reshape(self) -> None:
        for part in self.parts:
            part.reshape()
        before, self._shapes = self._shapes, self._now()
        work = self.work if self._shapes == before else self._works.get(self._shapes)
        if work is None:
            try:
                work = self.plan()
            except Refused as refusal:
                work = LayerWork(self.parts, str(refusal))
                names = ", ".join(str(part.layer.definition) for part in self.parts)
                log.warning("%s: %s does not take these shapes: %s", names, self.engine, refusal)
            if len(self._works) < MAX_SHAPES:
                self._works[self._shapes] = work
        self._choose(work)

    def _choose(self, work: Work) -> None:
        self.work = work
        if work.chosen is not None:
            work.chosen()

    @property
    def elsewhere(self) -> bool:
        """Whether its blobs hold nothing that may be looked at."""
        return self.work.elsewhere

    def forward(self) -> None:
        if self._now() != self._shapes:
            self.reshape()
        for each in self.work.forwards:
            each.run()

    def backward(self) -> None:
        for each in self.work.backwards:
            each.run()

    def uses(self) -> Uses:
        return self.work.uses()

    def buffers(self) -> dict[int, int]:
        return {}

    @property
    def flops(self) -> int:
        """Multiplications and additions of forward."""
        return self.work.flops

    def replay(self) -> None:
        """Runs forward again by the parts, so that their backward passes find what they keep. Statistics stay."""
        if self.work.restore is not None:
            self.work.restore()
        kept = [view.blob for part in self.parts if part.layer.updates_blobs for view in part.layer.blobs]
        values = [blob.data.array(HOST).copy() for blob in kept]
        for part in self.parts:
            part.forward()
        for blob, value in zip(kept, values):
            blob.data.set(value)
        self.in_parts = True


def elements(shape: Sequence[int]) -> int:
    """The number of values."""
    return math.prod(shape)


def make_home(blob: Blob, representation: Representation) -> None:
    """Parameter and gradient stay in this layout between passes, unless another layer that shares them chose first."""
    for storage in (blob.data, blob.diff):
        if storage.home.plain:
            storage.home = representation
