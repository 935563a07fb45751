"""A trace of measured passes in the Trace Event Format, which Perfetto and chrome://tracing open."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from layerforge.cli.timing import StepWatch
from layerforge.core.files import replacing
from layerforge.net.net import Net

MOST_EVENTS = 200_000  # about 40 MB of text; later passes are left out


class Trace(StepWatch):  # type: ignore[misc]  # mypy knows layerforge.cli as the folder cli
    """Records when each step of a net runs. Use it as a context around the passes.

    events  complete events ("ph": "X"): name, cat (forward or backward), ts and dur in microseconds, args with types
            and the engine
    """

    def __init__(self, net: Net) -> None:
        super().__init__(net)
        self.events: list[dict[str, Any]] = []
        self._steps = {step.layers[0]: step for step in net.steps}
        self._zero = time.perf_counter()

    def ended(self, index: int, backward: bool, now: float) -> None:
        """One event a step: of layers that run as one, the first stands for all."""
        step = self._steps.get(index)
        if step is None or len(self.events) >= MOST_EVENTS:
            return
        layers = [self.net.layers[i] for i in step.layers]
        self.events.append({
            "ph": "X", "pid": os.getpid(), "tid": 0, "cat": "backward" if backward else "forward",
            "name": " + ".join(layer.name for layer in layers),
            "ts": (self.since - self._zero) * 1e6, "dur": (now - self.since) * 1e6,
            "args": {"types": [layer.type for layer in layers], "engine": step.engine},
        })

    def write(self, path: str) -> None:
        """The trace as a file.

        Raises DataError when it cannot be written.
        """
        name = {"name": f"layerforge {self.net.name}"}
        head = [{"ph": "M", "pid": os.getpid(), "name": "process_name", "args": name}]
        with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            json.dump({"traceEvents": head + self.events, "displayTimeUnit": "ms"}, file)
