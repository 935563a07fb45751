"""Measuring a net: each layer by hooks, whole passes and whole training iterations by the clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from layerforge.core.storage import Traffic
from layerforge.layers.sources import SourceLayer
from layerforge.net.net import Net
from layerforge.solver.loop import Solver


@dataclass(frozen=True)
class LayerTime:
    """Means over the iterations, in milliseconds.

    engine                 who runs the layer
    copies, copied_bytes   how often values went from one layout to another for it, and how many bytes
    """

    name: str
    type: str
    forward_ms: float
    backward_ms: float
    engine: str = "layer"
    copies: float = 0.0
    copied_bytes: float = 0.0


@dataclass(frozen=True)
class SourceTime:
    """What a data layer delivers.

    alone_ms    a batch when nothing but the source runs
    waits       in how many of the measured passes forward found no batch ready
    waited_ms   how long it waited in these, in all
    """

    name: str
    type: str
    batch: int
    threads: int
    alone_ms: float
    waits: int
    waited_ms: float


@dataclass
class Timing:
    """What was measured.

    layers         in the order of the net
    iteration_ms   forward and backward of each iteration, the clock's reading of layers included
    training_ms    whole training iterations, when a solver was timed
    update_ms      the mean update within those
    batch          samples of a pass; 0 when the net does not say
    iter_size      passes of a training iteration
    sources        the data layers, when they were asked for
    memory         bytes by what they hold, when they were asked for
    copies, copied_bytes   how often an iteration took values from one layout or memory to another, and how many bytes
    """

    net: str
    iterations: int
    layers: list[LayerTime]
    iteration_ms: list[float]
    training_ms: list[float] = field(default_factory=list)
    update_ms: float = 0.0
    batch: int = 0
    iter_size: int = 1
    sources: list[SourceTime] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)
    copies: float = 0.0
    copied_bytes: float = 0.0

    @property
    def forward_ms(self) -> float:
        return sum(layer.forward_ms for layer in self.layers)

    @property
    def backward_ms(self) -> float:
        return sum(layer.backward_ms for layer in self.layers)

    def figures(self) -> dict[str, Any]:
        """Everything as plain values, for other programs."""
        figures: dict[str, Any] = {
            "net": self.net, "iterations": self.iterations, "batch": self.batch,
            "layers": [vars(layer) for layer in self.layers],
            "forward_ms": self.forward_ms, "backward_ms": self.backward_ms,
            "forward_backward_ms": spread(self.iteration_ms),
            "copies": self.copies, "copied_bytes": self.copied_bytes,
        }
        if self.memory:
            figures["memory_bytes"] = self.memory
        if self.sources:
            figures["sources"] = [vars(source) for source in self.sources]
        if self.training_ms:
            figures["training_iteration_ms"] = spread(self.training_ms)
            figures["update_ms"], figures["iter_size"] = self.update_ms, self.iter_size
        return figures


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, median, least and greatest."""
    return {"mean": statistics.fmean(values), "median": statistics.median(values),
            "min": min(values), "max": max(values)}


Watch = TypeVar("Watch", bound="StepWatch")


class StepWatch:
    """Sees each step of a net begin and end, fused as it runs. Use it as a context; a subclass says what it keeps."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.since = 0.0  # when the present step began, by time.perf_counter

    def __enter__(self: Watch) -> Watch:
        for name, hook in self._hooks().items():
            self.net.step_hooks[name].append(hook)
        return self

    def __exit__(self, *_: object) -> None:
        for name, hook in self._hooks().items():
            self.net.step_hooks[name].remove(hook)

    def ended(self, index: int, backward: bool, now: float) -> None:
        """A layer's step has ended; of layers that run as one step, the first comes first."""
        raise NotImplementedError

    def _hooks(self) -> dict[str, Callable[[int], None]]:
        return {"before_forward": self._begin, "after_forward": self._forward_done,
                "before_backward": self._begin, "after_backward": self._backward_done}

    def _begin(self, index: int) -> None:
        self.since = time.perf_counter()

    def _forward_done(self, index: int) -> None:
        self._end(index, False)

    def _backward_done(self, index: int) -> None:
        self._end(index, True)

    def _end(self, index: int, backward: bool) -> None:
        self.net.backend.synchronize()
        self.ended(index, backward, time.perf_counter())


class LayerClock(StepWatch):
    """Adds up the time of each layer.

    forward, backward      seconds, in the order of the layers
    copies, copied_bytes   from one layout to another
    """

    def __init__(self, net: Net) -> None:
        super().__init__(net)
        self.forward, self.backward = [0.0] * len(net.layers), [0.0] * len(net.layers)
        self.copies, self.copied_bytes = [0] * len(net.layers), [0] * len(net.layers)
        self._counted = 0, 0

    def __enter__(self) -> LayerClock:
        self._counted = Traffic.copies, Traffic.nbytes
        return super().__enter__()

    def ended(self, index: int, backward: bool, now: float) -> None:
        """Of layers that run as one step the first takes it all."""
        (self.backward if backward else self.forward)[index] += now - self.since
        copies, nbytes = self._counted
        self._counted = Traffic.copies, Traffic.nbytes
        self.copies[index] += Traffic.copies - copies
        self.copied_bytes[index] += Traffic.nbytes - nbytes
        self.since = now


def measure(net: Net, iterations: int, done: Callable[[int, float], None] = lambda iteration, ms: None) -> Timing:
    """Times `iterations` forward and backward passes after one that warms up; `done` hears of each."""
    iteration_ms = []
    copies, copied = Traffic.copies, Traffic.nbytes
    with LayerClock(net) as clock:
        for iteration in range(iterations):
            started = time.perf_counter()
            net.clear_gradients()
            net.forward()
            net.backward()
            iteration_ms.append((time.perf_counter() - started) * 1e3)
            done(iteration, iteration_ms[-1])
    engines = {index: step.engine for step in net.steps for index in step.layers}
    layers = [LayerTime(layer.name, layer.type, clock.forward[i] / iterations * 1e3,
                        clock.backward[i] / iterations * 1e3, engines[i], clock.copies[i] / iterations,
                        clock.copied_bytes[i] / iterations) for i, layer in enumerate(net.layers)]
    return Timing(net.name, iterations, layers, iteration_ms, batch=batch_size(net),
                  copies=(Traffic.copies - copies) / iterations, copied_bytes=(Traffic.nbytes - copied) / iterations)


def measure_training(solver: Solver, iterations: int, timing: Timing) -> None:
    """Adds to `timing` whole training iterations: iter_size batches forward and backward, and the update."""
    net, updates = solver.net, 0.0
    for _ in range(iterations):
        started, early = time.perf_counter(), solver.updater.seconds
        net.clear_gradients()
        if solver.updater.early:
            net.forward()
            solver.backward_and_update()
            net.backend.synchronize()
            updates += solver.updater.seconds - early
        else:
            for _ in range(solver.params.iter_size):
                net.forward()
                net.backward()
            net.backend.synchronize()
            passed = time.perf_counter()
            solver.apply_update()
            net.backend.synchronize()
            updates += time.perf_counter() - passed
        timing.training_ms.append((time.perf_counter() - started) * 1e3)
    timing.update_ms = updates / iterations * 1e3
    timing.iter_size = solver.params.iter_size


def measure_sources(net: Net, iterations: int, passes: Callable[[], Timing]) -> Timing:
    """Times each data layer alone, then the passes; the passes start where the layers stood."""
    layers = [layer for layer in net.layers if isinstance(layer, SourceLayer)]
    alone = [_alone_ms(layer, iterations) for layer in layers]
    net.forward()  # starts the threads
    before = [layer.waits() for layer in layers]
    timing = passes()
    for layer, ms, (waits, seconds) in zip(layers, alone, before):
        all_waits, all_seconds = layer.waits()
        timing.sources.append(SourceTime(layer.name, layer.type, layer.shapes[0][0], layer.threads, ms,
                                         all_waits - waits, (all_seconds - seconds) * 1e3))
    return timing


def _alone_ms(layer: SourceLayer, iterations: int) -> float:
    """Milliseconds a batch of the source takes with its own threads, after what they had made ahead."""
    position, prefetch = layer.state(), layer.prefetch()
    try:
        prefetch.get()
        started = time.perf_counter()
        for _ in range(iterations):
            prefetch.get()
        return (time.perf_counter() - started) / iterations * 1e3
    finally:
        prefetch.close()
        layer.load_state(position)


def batch_size(net: Net) -> int:
    """Samples per iteration: the first axis of what the first source makes, 0 when there is none."""
    for step in net.steps:
        tops = net.graph.nodes[step.layers[0]].tops
        if not net.graph.nodes[step.layers[0]].bottoms and tops:
            shape = net.blob_list[tops[0]].shape
            return shape[0] if shape else 0
    return 0
