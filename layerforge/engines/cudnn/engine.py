"""The cuDNN engine: which rule takes which layers of a net."""

from __future__ import annotations

from typing import Any

from layerforge.engines.cudnn.context import Context, Runner
from layerforge.engines.cudnn.joining import concat, eltwise, split
from layerforge.engines.cudnn.norm import convolution_norm, convolution_sum, norm
from layerforge.engines.cudnn.pointwise import dropout, relu
from layerforge.engines.cudnn.pooling import lrn, pooling
from layerforge.engines.cudnn.rules import NAME, check_axes
from layerforge.engines.cudnn.step import CudnnStep
from layerforge.engines.cudnn.weighted import weighted
from layerforge.engines.fusion import (
    Chooser,
    Steps,
    added_norm_length,
    alone,
    follows,
    norm_length,
    sum_length,
    with_relu,
)
from layerforge.engines.lowering import Refusal
from layerforge.engines.rules import check_values, first_taken
from layerforge.engines.step import Refused, Rule


def _convolution(steps: Steps, index: int, keep: str) -> tuple[Rule, int]:
    length = sum_length(steps, index, keep)
    if length:
        return convolution_sum, length
    behind = index + 1 < len(steps) and follows(steps, index + 1, keep)
    length = (added_norm_length(steps, index + 1, keep) or norm_length(steps, index + 1, keep)) if behind else 0
    if length and steps[index + 1].layer.type in ("BatchNorm", "Scale"):
        return convolution_norm, 1 + length
    return with_relu(weighted)(steps, index, keep)


def _norm(steps: Steps, index: int, keep: str) -> tuple[Rule, int]:
    length = added_norm_length(steps, index, keep) or norm_length(steps, index, keep)
    if not length:
        raise Refused("a form of it that cuDNN does not have")
    return norm, length


RULES: dict[str, Chooser] = {
    "Convolution": _convolution,
    "DepthwiseConvolution": _convolution,
    "InnerProduct": with_relu(weighted),
    "BatchNorm": _norm,
    "Scale": _norm,
    "Eltwise": with_relu(eltwise),
    "Pooling": alone(pooling),
    "LRN": alone(lrn),
    "Concat": alone(concat),
    "Split": alone(split),
    "ReLU": alone(relu),
    "Dropout": alone(dropout),
}
"""Layer type → which rule takes it, and how many layers from it on run as one."""

ALONE: dict[str, Rule] = dict.fromkeys(("Convolution", "DepthwiseConvolution"), weighted)
"""The rule for a single layer, where the rule for it and those behind refuses."""


class CudnnEngine:
    """Plans one net.

    kind  what products are computed in: BF16, FP16, TF32 or FP32 (no tensor cores)
    keep  "all": only what works in place may be hidden;  "outputs": whatever lies between may be
    """

    name, backend = NAME, "cupy"

    def __init__(self, backend: Any, runner: Runner, kind: str = "FP32", keep: str = "all") -> None:
        self.context = Context(backend, runner, kind, keep)

    def lower(self, steps: Steps, index: int) -> CudnnStep | Refusal:
        """A step that runs steps[index] and perhaps the layers behind it, or why not."""
        try:
            return self._lower(steps, index)
        except Refused as refusal:
            if not steps[index].layer.shares_data:
                for view in steps[index].tops:
                    self.context.writes(view.blob, None)
            return Refusal(self.name, str(refusal))

    def _lower(self, steps: Steps, index: int) -> CudnnStep:
        layer = steps[index].layer
        if layer.type not in RULES:
            raise Refused("no rule for this type")
        check_values(steps[index])
        check_axes(steps[index])
        rule, length = RULES[layer.type](steps, index, self.context.keep)
        ways = [(rule, length)] if length == 1 else [(rule, length), (ALONE.get(layer.type, rule), 1)]
        return first_taken(ways, lambda rule, count: CudnnStep(self.context, steps[index : index + count], rule))
