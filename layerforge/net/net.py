"""Net: walks the plan forward and backward."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np

from layerforge.core import threads
from layerforge.core.blob import Blob
from layerforge.core.errors import NetError
from layerforge.core.random import Random
from layerforge.core.running import Running
from layerforge.core.storage import HOST, Storage, is_lossy
from layerforge.graph.gradients import Gradients
from layerforge.graph.lower import Plan
from layerforge.graph.memory import Memory
from layerforge.graph.replay import Replay
from layerforge.graph.shapes import Shaped
from layerforge.graph.sharing import Learnable
from layerforge.graph.step import Step
from layerforge.graph.wire import Graph
from layerforge.layers.base import Layer
from layerforge.layers.sources import SourceLayer
from layerforge.net.filling import filling
from layerforge.net.fitting import saying_what_fits
from layerforge.net.footprint import check_fits
from layerforge.netdef.types import NetDef, Phase

Hook = Callable[[int], None]
WHEN = ("before_forward", "after_forward", "before_backward", "after_backward")


class Net:
    """A net that runs. `build_net` makes one.

    blobs       name → Blob, in order of making
    params      layer name → its parameter blobs (layers that have some; of repeated names the last)
    all_blobs   also those without a name of their own: every layer's parameters
    learnable   every parameter once, with its multipliers
    inputs, outputs   blob names: tops of Input layers; blobs nobody reads
    memory      the arena of keep="outputs"
    replay      what of its forward passes may repeat as kernels alone
    update_ops  the kernels of update rules for its parameters: the backend's, or an engine's
    hooks       "before_forward", "after_forward", "before_backward", "after_backward" → functions of the layer number
    running     its threads, and whose turn it is to use them
    step_hooks  the same, but what runs fused stays so: they are called for its layers one after the other, and must not
                touch arrays that users hold
    """

    def __init__(
        self, definition: NetDef, phase: Phase, graph: Graph, shaped: Shaped, gradients: Gradients,
        learnable: tuple[Learnable, ...], plan: Plan, backend: Any, rng: Random | None, keep: str,
        backward: bool = True, running: Running | None = None,
    ) -> None:
        self.running = running or Running(threads.count())
        self.definition, self.phase, self.graph, self.plan = definition, phase, graph, plan
        self.backend, self.rng, self.keep = backend, rng, keep
        self.update_ops: Any = backend.ops
        self._has_backward = backward
        self.name = definition.name
        self.layers: list[Layer] = list(shaped.layers)
        self.layer_names = [node.definition.name for node in graph.nodes]
        self.blob_list = list(shaped.blobs)
        self.blobs: dict[str, Blob] = dict(zip(graph.blobs, shaped.blobs))
        self.params: dict[str, list[Blob]] = {
            name: [v.blob for v in layer.blobs] for name, layer in zip(self.layer_names, self.layers) if layer.blobs
        }
        self.learnable = learnable
        self.inputs = [graph.blobs[i] for i in graph.inputs]
        self.outputs = [graph.blobs[i] for i in graph.outputs]
        self.gradients = gradients
        self.workspace = shaped.workspace
        self.hooks: dict[str, list[Hook]] = {when: [] for when in WHEN}
        self.step_hooks: dict[str, list[Hook]] = {when: [] for when in WHEN}
        self.all_blobs = [*self.blob_list, *(view.blob for layer in self.layers for view in layer.blobs)]
        self._parameters = {view.blob.data for layer in self.layers for view in layer.blobs}
        self._foreign = {i for i, layer in enumerate(self.layers) if layer.runs_user_code}
        self._waiting = {i for i, layer in enumerate(self.layers) if isinstance(layer, SourceLayer)}
        self._steps: list[Step] = list(plan.steps)
        self._losses = [
            [(shaped.blobs[blob], w) for blob, w in zip(node.tops, weights) if w]
            for node, weights in zip(graph.nodes, gradients.loss_weights)
        ]
        for pairs in self._losses:
            for blob, weight in pairs:
                blob.diff.initial = partial(np.array, weight)
        self.memory = Memory(self._steps, self._held(), partial(_shapes, self.blob_list), self._packs())
        apart = self._foreign.union(self._waiting, (i for i, pairs in enumerate(self._losses) if pairs))
        everything = range(len(self.layers))
        self.replay = Replay(self._steps, self.memory, self.blob_list, everything if backward else apart)
        self._fitting = [0, 0]  # values of inputs for which memory suffices, forward only and both ways
        self._loss_factor = 1.0
        self._filled = self._looked_at = False  # whether a pass has read the parameters
        self._loss_counts = {id(blob): blob.count for pairs in self._losses for blob, _ in pairs}

    @property
    def steps(self) -> Sequence[Step]:
        """What runs, in order."""
        return self._steps

    @property
    def loss_weights(self) -> dict[str, float]:
        """Blob name → the weight it has in the loss; 0 for blobs that are no loss."""
        weights = dict.fromkeys(self.blobs, 0.0)
        for node, row in zip(self.graph.nodes, self.gradients.loss_weights):
            weights.update({self.graph.blobs[top]: w for top, w in zip(node.tops, row)})
        return weights

    def forward(self) -> float:
        """Runs every layer; returns the loss, Σ weight · Σ top over the tops with a loss weight."""
        return self.forward_from_to(0, len(self.layers) - 1)

    @np.errstate(all="ignore")  # NaN and infinity are values; a loss that has them is seen by who watches it
    def forward_from_to(self, start: int, end: int) -> float:
        """Runs the layers start … end, both included."""
        if self._filled:
            return self._forward(start, end)
        with filling(view.blob.data for layer in self.layers for view in layer.blobs):
            loss = self._forward(start, end)
        self._filled = True
        return loss

    def _forward(self, start: int, end: int) -> float:
        loss, memory = 0.0, self.memory
        self._check_fits(backward=self.memory.packs, fresh=False)
        self._looked_at = start > 0 or end < len(self.layers) - 1 or self._hooked
        memory.start(not self._looked_at)
        with self.taking_lent(), saying_what_fits(self):
            number, replay = 0, self.replay
            while number < len(self._steps):
                if number == replay.first and not self._watched and replay.run():
                    number = replay.end
                    continue
                step, number = self._steps[number], number + 1
                memory.enter()
                for piece in self._up(step, start, end):
                    self._call_hooks("before_forward", piece)
                    self._run(piece, piece.forward)
                    for index in piece.layers:
                        for blob, weight in self._losses[index]:
                            loss += weight * float(blob.data.array(HOST).sum())
                    self._call_hooks("after_forward", piece)
                memory.leave()
                if not self._filled and memory.packs and not self._has_backward:
                    self._trim(step)
        return loss

    def _trim(self, step: Step) -> None:
        """Parameters that the step reads in a layout of its own stay in that alone: their plain order follows from it.
        """
        for storage, layout, *_ in step.uses().forward:
            own = storage in self._parameters and storage.home is HOST and storage.places is None
            if own and not layout.plain and not is_lossy(layout):
                storage.trim(layout)

    def backward(self, done: Callable[[int], None] | None = None) -> None:
        """Runs every layer that has a gradient to compute, last first. Parameter gradients add up until cleared.

        done  called after each step with its number, also after those that have nothing to do
        """
        self.backward_from_to(len(self.layers) - 1, 0, done)

    @np.errstate(all="ignore")
    def backward_from_to(self, start: int, end: int, done: Callable[[int], None] | None = None) -> None:
        """Runs the layers start … end downwards, both included."""
        if not self._has_backward:
            raise NetError(f"net {self.name!r} was built to run forward only", hint="build it with backward=True")
        self._check_fits(backward=True, fresh=True)
        memory = self.memory
        memory.turn(end <= 0 and start >= len(self.layers) - 1 and not self._hooked)
        with self.taking_lent(), saying_what_fits(self):
            for number in reversed(range(len(self._steps))):
                step = self._steps[number]
                memory.enter()
                for piece in self._down(step, start, end):
                    self._call_hooks("before_backward", piece)
                    if any(self.gradients.layers[i] for i in piece.layers):
                        for index in piece.layers:
                            for blob, weight in self._losses[index]:
                                self._refill(blob, weight)
                        self._run(piece, piece.backward)
                    self._call_hooks("after_backward", piece)
                if done is not None:
                    done(number)
                memory.leave()

    def _up(self, step: Step, start: int, end: int) -> Sequence[Step]:
        """What runs of a step: itself, or the parts within start … end where these cut it or hooks want every layer."""
        first, last = step.layers[0], step.layers[-1]
        elsewhere = self._looked_at and getattr(step, "elsewhere", False)
        if start <= first and last <= end and (first == last or not self._hooked) and not elsewhere:
            step.in_parts = False
            return (step,)
        inside = [part for part in step.parts if start <= part.layers[0] and part.layers[-1] <= end]
        step.in_parts = step.in_parts or bool(inside)
        return inside

    def _down(self, step: Step, start: int, end: int) -> Sequence[Step]:
        """The same backward, by what forward ran."""
        first, last = step.layers[0], step.layers[-1]
        if end <= first and last <= start and (first == last or not (self._hooked or step.in_parts)):
            return (step,)
        inside = [part for part in reversed(step.parts) if end <= part.layers[0] and part.layers[-1] <= start]
        if inside and not step.in_parts:
            step.replay()
        return inside

    def _check_fits(self, backward: bool, fresh: bool) -> None:
        """Refuses the first pass that needs more memory than there is, and the first after inputs have grown.

        fresh  all shapes follow from the inputs' already: a reshape would throw away what forward has kept
        """
        count = 1 + sum([self.blobs[name].count for name in self.inputs])
        if count > self._fitting[backward]:
            if self._fitting[backward] and not fresh:
                self.reshape()
            check_fits(self, backward=backward)
            self._fitting[backward] = count

    def _packs(self) -> bool:
        """Whether the host's memory is wanted packed, and shapes cannot change within every pass."""
        on_host = hasattr(self.backend.representation, "extent")
        return self.keep == "outputs" and on_host and not any(layer.dynamic for layer in self.layers)

    def _held(self) -> set[Storage]:
        """What no plan places: what is read between passes, is shared with other nets, or was put there by a user."""
        parameters = [view.blob for layer in self.layers for view in layer.blobs]
        held = {storage for blob in parameters for storage in (blob.data, blob.diff)}
        held.update(self.blobs[name].data for name in self.outputs)
        for node, layer in zip(self.graph.nodes, self.layers):
            blobs = [self.blob_list[i] for i in node.tops if not node.bottoms or layer.runs_user_code]
            blobs += [self.blob_list[i] for i in node.bottoms if layer.runs_user_code]
            held.update(storage for blob in blobs for storage in (blob.data, blob.diff))
        for pairs in self._losses:
            held.update(storage for blob, _ in pairs for storage in (blob.data, blob.diff))
        return held

    @property
    def _hooked(self) -> bool:
        return any(self.hooks.values())

    @property
    def _watched(self) -> bool:
        return self._hooked or any(self.step_hooks.values())

    @contextlib.contextmanager
    def taking_lent(self) -> Iterator[None]:
        """Around what computes: arrays that users hold are read before, and show new values after."""
        with self.running.computing():
            self._take_lent()
            try:
                yield
            finally:
                self._give_lent()

    @contextlib.contextmanager
    def _giving_lent(self) -> Iterator[None]:
        """The reverse, around code of the user in the middle of a pass."""
        self._give_lent()
        try:
            with self.running.pausing():
                yield
        finally:
            self._take_lent()

    def _take_lent(self) -> None:
        for storage in self._lent():
            storage.wrote(HOST)

    def _give_lent(self) -> None:
        for storage in self._lent():
            storage.array(HOST)

    def _lent(self) -> list[Storage]:
        if not Storage.handed_out:
            return []
        both = chain(map(attrgetter("data"), self.all_blobs), map(attrgetter("diff"), self.all_blobs))
        return [storage for storage in both if storage.lent and storage.is_lent()]

    def clear_gradients(self) -> None:
        """Sets the gradients of all parameters to zero, also in arrays that users hold."""
        for each in self.learnable:
            each.blob.diff.clear()
            if each.blob.diff.is_lent():
                each.blob.diff.array(HOST)

    def completions(self) -> list[list[int]]:
        """Step number → the learnables whose gradients are complete, and which nothing reads, after its backward."""
        number = {layer: i for i, step in enumerate(self._steps) for layer in step.layers}
        first: dict[Storage, int] = {}
        for i, layer in enumerate(self.layers):
            for view in layer.blobs:
                first.setdefault(view.blob.data, number[i])
        ready: list[list[int]] = [[] for _ in self._steps]
        for k, each in enumerate(self.learnable):
            ready[first[each.blob.data]].append(k)
        return ready

    def reshape(self) -> None:
        """Gives every blob the shape that follows from the inputs' shapes."""
        with self.running.computing():
            for step in self._steps:
                step.reshape()

    def layer(self, name: str) -> Layer:
        """The layer of this name (of repeated names the last)."""
        return self.layers[len(self.layer_names) - 1 - self.layer_names[::-1].index(name)]

    def close(self) -> None:
        """Ends data workers. A net without sources needs no closing."""
        for layer in self.layers:
            layer.close()

    def _run(self, step: Step, verb: Callable[[], None]) -> None:
        if not self._foreign.isdisjoint(step.layers):
            with self._giving_lent():
                verb()
        elif not self._waiting.isdisjoint(step.layers):  # for a batch
            with self.running.pausing():
                verb()
        else:
            verb()

    def _call_hooks(self, when: str, step: Step) -> None:
        if self.hooks[when]:
            with self._giving_lent():
                for hook in self.hooks[when]:
                    for index in step.layers:
                        hook(index)
        for hook in self.step_hooks[when]:
            for index in step.layers:
                hook(index)

    def scale_losses(self, factor: float) -> None:
        """Backward begins at factor times the weight of each loss from here on."""
        self._loss_factor = factor
        for pairs in self._losses:
            for blob, weight in pairs:
                blob.diff.claim(HOST)[...] = weight * factor

    def _refill(self, blob: Blob, weight: float) -> None:
        """A loss top that changed its count gets its weights again; one that kept it keeps what a user put there."""
        if self._loss_counts[id(blob)] != blob.count:
            blob.diff.claim(HOST)[...] = weight * self._loss_factor
            self._loss_counts[id(blob)] = blob.count


def _shapes(blobs: Sequence[Blob]) -> tuple[tuple[int, ...], ...]:
    return tuple([blob.shape for blob in blobs])
