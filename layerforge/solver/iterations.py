"""Iterations: forward, backward, clipping and update as one recording, where the device judges the loss itself."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from layerforge.net.fitting import saying_what_fits
from layerforge.net.recorded import Recorded
from layerforge.solver.loss_scale import MOST
from layerforge.solver.policies import looks_at_loss

if TYPE_CHECKING:
    from layerforge.solver.loop import Solver

log = logging.getLogger("layerforge")

PATIENCE_SECONDS = 1.0  # how long judgements may stay unread when nobody asks for them


@dataclass
class Pending:
    """An iteration that is on the device, and what is to be said about it when its loss has been read."""

    iteration: int
    lr: float
    display: bool
    messages: list[tuple[str, str]] = field(default_factory=list)

    def say(self, text: str, source: str) -> None:
        """Keeps a line for the log."""
        self.messages.append((text, source))


class Iterations:
    """Training iterations of one solver that need no look from the host.

    Each is one launch (with iter_size one a batch). Losses stay on the device until `settle` reads them: before a test
    or a snapshot, in an iteration on display, when the run ends, the device's rows are full, or a second has passed.
    Reports and messages come then, in order. After a loss that is not finite the parameters stay as they are, and
    `settle` raises what the step-by-step run would have raised.

    reason     why no iteration is recorded as a whole, "" while they are or may yet be
    """

    def __init__(self, solver: Solver) -> None:
        self._solver = solver
        self._pending: list[Pending] = []
        self._parts: list[Recorded] = []
        self._said, self._settled_at = "", time.monotonic()
        recorder: Any = getattr(solver.net.backend, "recorder", None)
        self._recorder, self._reason = recorder, self._refusal(recorder)
        if self._reason:
            if recorder is not None and not solver.passes.reasons:
                self._say_reason(self._reason)
            return
        self.control: Any = recorder.control()
        self._feed: Any = recorder.feed(self.control)
        batches = solver.params.iter_size
        kinds = ["only"] if batches == 1 else ["first", *["middle"] * (batches > 2), "last"]
        self._parts = [
            Recorded(
                recorder, partial(self._batch, kind), self._storages, solver.net.rng, control=self.control,
                what="the iteration" if kind == "only" else f"the {kind} batch of an iteration",
                renumber=partial(self._again, kind), places=self._places, tidy=self._tidy,
            )
            for kind in kinds
        ]

    def _refusal(self, recorder: Any) -> str:
        solver = self._solver
        if solver.passes.reasons or recorder is None:
            return solver.passes.reasons[0]
        if not solver.updater.ours:
            return solver.updater.moving.reason
        if looks_at_loss(solver.updater.policy):
            return f"lr_policy: {solver.params.lr_policy!r} looks at the loss before the update"
        if len(solver.passes.losses()) < len([1 for pairs in solver.net.loss_weights.values() if pairs]):
            return "a layer on the host has a loss"
        return ""

    @property
    def reason(self) -> str:
        """Why iterations are not recorded as a whole, "" while they are or may be."""
        return self._reason or next((part.reason for part in self._parts if part.reason), "")

    @property
    def launches(self) -> int:
        """How often a recording ran."""
        return sum(part.launches for part in self._parts)

    def takes(self, debug: bool) -> bool:
        """Whether the next iteration can run here. debug: its layers are to be looked at."""
        if self._recorder is None or self.reason:
            return False
        why = ""
        if debug:
            why = "debug_info looks at every layer"
        elif self._solver.passes.hooked:
            why = "hooks are called between layers"
        elif self._solver.callbacks:
            why = "callbacks run between the gradients and the update"
        if why and why != self._said:
            self._say_reason(why)
        self._said = why
        return not why

    def run(self, display: bool) -> None:
        """The next iteration."""
        solver = self._solver
        each = Pending(solver.iter, solver.lr, display)
        solver.updater.plan(solver.iter, solver.smoothed_loss, each.say, lambda say: 1.0)
        if solver.loss_scale.active and not self._pending:
            self.control.set_loss_scale(solver.loss_scale.value, solver.loss_scale.good)
        batches = solver.params.iter_size
        for k in range(batches):
            solver.passes.prepare()
            with solver.net.taking_lent(), saying_what_fits(solver.net):
                self._feed.send(solver.passes.inputs())
                self._parts[min(k, 1) if k < batches - 1 else -1]()
            self._feed.done()
        self._pending.append(each)
        solver.iter += 1
        full = len(self._pending) == self.control.rows
        if display or full or time.monotonic() - self._settled_at > PATIENCE_SECONDS:
            self.settle()

    def settle(self) -> None:
        """Reads the losses that are still on the device, and says what there is to say about each iteration.

        Raises NetError for the first that is not finite, unless that is allowed.
        """
        if not self._pending:
            return
        solver, pending = self._solver, self._pending
        self._pending, end = [], solver.iter
        judgements, halted = self.control.read()
        if halted:
            self._feed.stay(solver.passes.inputs())
        for each, judgement in zip(pending, judgements):
            solver.iter = each.iteration
            if not halted or judgement is not judgements[-1]:
                solver.take_overflow(not judgement.moved)
            solver.take_loss(judgement.loss, each.display, each.lr)
            for text, source in each.messages:
                solver.observer.on_message(text, source)
            if judgement.factor != 1:
                solver.updater.say_clipped(judgement.norm, judgement.factor, solver.observer.on_message)
        solver.iter, self._settled_at = end, time.monotonic()
        if solver.loss_scale.active:
            solver.net.scale_losses(solver.loss_scale.value)

    @np.errstate(all="ignore")
    def _batch(self, kind: str) -> None:
        """One batch forward and backward, and what comes with the iteration's first and last."""
        solver, control = self._solver, self.control
        with control.in_charge():
            if kind in ("only", "first"):
                control.begin()
            self._feed.take(solver.passes.inputs())
            memory, scaled = self._recorder.memory, solver.loss_scale.active
            if scaled:
                control.seed_losses([(blob.diff.claim(memory), weight) for blob, weight in solver.passes.losses()])
            with self._recorder.once():
                solver.passes.work()
                control.add_losses([(blob.data.array(memory), weight) for blob, weight in solver.passes.losses()])
                if kind in ("only", "last") and (scaled or solver.params.clip_gradients >= 0):
                    control.add_squares(solver.updater.gradients())
            if kind in ("only", "last"):
                self._judge()
                solver.updater.move()

    def _again(self, kind: str) -> None:
        """The launches of `_batch` whose numbers are others each time."""
        with self.control.in_charge():
            self._feed.take(self._solver.passes.inputs())
            if kind in ("only", "last"):
                self._judge()
                self._solver.updater.renumber()

    def _judge(self) -> None:
        params, scale = self._solver.params, self._solver.loss_scale
        self.control.judge(watch=not self._solver.allow_nan, bound=params.clip_gradients, batches=params.iter_size,
                           patience=scale.patience, top=MOST)

    def _storages(self) -> list[Any]:
        both = [*self._solver.passes.storages(), *self._solver.updater.storages()]
        return list(dict.fromkeys(both))

    def _places(self) -> tuple[int, int]:
        return self._feed.generation, self._solver.net.workspace.generation

    def _tidy(self) -> None:
        """The update makes every other layout of a parameter stale: each batch converts it anew."""
        memory = self._recorder.memory
        for each in self._solver.net.learnable:
            storage = each.blob.data
            kept = memory if storage.home.plain else storage.home
            if kept in storage.fresh() and len(storage.fresh()) > 1:
                storage.wrote(kept)

    def _say_reason(self, why: str) -> None:
        name = f" of {self._solver.net.name!r}" if self._solver.net.name else ""
        log.warning("the iterations%s are not recorded as one CUDA graph each: %s", name, why)
