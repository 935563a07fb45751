"""The cuDNN engine: which layers of a net it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layerforge.engines.cudnn.context import Context, Runner
from layerforge.engines.cudnn.rules import NAME, RULES, Refused, relu_follows
from layerforge.engines.cudnn.step import CudnnStep
from layerforge.engines.lowering import Refusal


class CudnnEngine:
    """Plans one net.

    kind  what products are computed in: BF16, FP16, TF32 or FP32 (no tensor cores)
    """

    name, backend = NAME, "cupy"

    def __init__(self, backend: Any, runner: Runner, kind: str = "FP32") -> None:
        self.context = Context(backend, runner, kind)

    def lower(self, steps: Sequence[Any], index: int) -> CudnnStep | Refusal:
        """A step that runs steps[index] and perhaps the ReLU behind it, or why not."""
        layer = steps[index].layer
        if layer.type not in RULES:
            return Refusal(self.name, "no rule for this type")
        count = 2 if relu_follows(steps, index + 1) else 1
        try:
            return CudnnStep(self.context, steps[index : index + count], RULES[layer.type])
        except Refused as refusal:
            return Refusal(self.name, str(refusal))
