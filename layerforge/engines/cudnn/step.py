"""CudnnStep: some layers of a net as graphs of cuDNN and kernels of our own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from layerforge.core.use import Access
from layerforge.engines.cudnn.context import Context
from layerforge.engines.cudnn.graphs import Key
from layerforge.engines.cudnn.plans import NoPlan
from layerforge.engines.cudnn.rules import NAME
from layerforge.engines.cudnn.runs import GraphRun, Run
from layerforge.engines.lowering import Kernel
from layerforge.engines.step import EngineStep, LayerWork, Refused, Work, make_home

log = logging.getLogger("layerforge")


class CudnnStep(EngineStep):
    """Layers that cuDNN runs, until no plan of it is right: then the layers' own kernels, and the log says why."""

    engine = NAME
    context: Context

    def plan(self) -> Work:
        context = self.context
        context.homes.clear()
        work = super().plan()
        why = context.check(*keys_of(work))
        if why:
            raise Refused(why)
        for blob, home in context.homes.items():
            make_home(blob, home)
        # Gradients add up last: should a graph have no plan, nothing has been added yet.
        work.backwards.sort(key=lambda run: any(use.access is Access.ADD for use in run.uses()))
        return work

    @property
    def refusal(self) -> str:
        """Why the layers run by themselves now, "" while cuDNN does."""
        return self.work.reason if isinstance(self.work, LayerWork) else ""

    def forward(self) -> None:
        try:
            super().forward()
        except NoPlan as error:
            self._give_up(error)
            super().forward()

    def backward(self) -> None:
        try:
            super().backward()
        except NoPlan as error:
            self.replay()
            self.in_parts = False
            self._give_up(error)
            super().backward()

    def _give_up(self, error: NoPlan) -> None:
        names = ", ".join(repr(part.layer.name) for part in self.parts)
        log.warning("cuDNN is not used for %s: %s", names, error.message)
        self.work = self._works[self._shapes] = LayerWork(self.parts, error.message)

    def keys(self) -> list[Key]:
        """The graphs of both passes."""
        return keys_of(self.work)

    def kernels(self) -> list[Kernel]:
        """What runs in both passes, for `time --explain`."""
        passes = ("forward", self.work.forwards), ("backward", self.work.backwards)
        found = [each.kernel(when) for when, runs in passes for each in runs if isinstance(each, Run)]
        return [kernel for kernel in found if kernel is not None]

    def buffers(self) -> dict[int, int]:
        """Room of all steps, and arrays of this one."""
        rooms = (self.context.weights, self.context.gradients)
        runs: Sequence[Any] = (*self.work.forwards, *self.work.backwards)
        own = {id(each): each.nbytes for run in runs if isinstance(run, Run) for each in run.own()}
        return {id(room): room.nbytes for room in rooms} | own


def keys_of(work: Work) -> list[Key]:
    """The graphs of both passes, each once."""
    return list(dict.fromkeys(run.key for run in (*work.forwards, *work.backwards) if isinstance(run, GraphRun)))
