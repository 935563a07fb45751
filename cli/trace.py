"""A trace of measured passes in the Trace Event Format, which Perfetto and chrome://tracing open."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

from layerforge.core.files import replacing
from layerforge.net.net import Net

MOST_EVENTS = 200_000  # about 40 MB of text; later passes are left out


class Trace:
    """Records when each step of a net runs. Use it as a context around the passes.

    events  complete events ("ph": "X"): name, cat (forward or backward), ts and dur in microseconds, args with types
            and the engine
    """

    def __init__(self, net: Net) -> None:
        self.net = net
        self.events: list[dict[str, Any]] = []
        self._steps = {step.layers[0]: step for step in net.steps}
        self._zero = self._since = time.perf_counter()

    def __enter__(self) -> Trace:
        for name, hook in self._hooks().items():
            self.net.step_hooks[name].append(hook)
        return self

    def __exit__(self, *_: object) -> None:
        for name, hook in self._hooks().items():
            self.net.step_hooks[name].remove(hook)

    def write(self, path: str) -> None:
        """The trace as a file.

        Raises DataError when it cannot be written.
        """
        name = {"name": f"layerforge {self.net.name}"}
        head = [{"ph": "M", "pid": os.getpid(), "name": "process_name", "args": name}]
        with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            json.dump({"traceEvents": head + self.events, "displayTimeUnit": "ms"}, file)

    def _hooks(self) -> dict[str, Callable[[int], None]]:
        return {"before_forward": self._begin, "after_forward": self._forward_done,
                "before_backward": self._begin, "after_backward": self._backward_done}

    def _begin(self, index: int) -> None:
        self._since = time.perf_counter()

    def _forward_done(self, index: int) -> None:
        self._add(index, "forward")

    def _backward_done(self, index: int) -> None:
        self._add(index, "backward")

    def _add(self, index: int, what: str) -> None:
        """One event a step: of layers that run as one, the first stands for all."""
        step = self._steps.get(index)
        if step is None or len(self.events) >= MOST_EVENTS:
            return
        self.net.backend.synchronize()
        layers = [self.net.layers[i] for i in step.layers]
        self.events.append({
            "ph": "X", "pid": os.getpid(), "tid": 0, "cat": what, "name": " + ".join(layer.name for layer in layers),
            "ts": (self._since - self._zero) * 1e6, "dur": (time.perf_counter() - self._since) * 1e6,
            "args": {"types": [layer.type for layer in layers], "engine": step.engine, "pass": what},
        })
