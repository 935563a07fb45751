"""The oneDNN engine: which rule takes which layers of a net."""

from __future__ import annotations

from typing import Any

from layerforge.engines.fusion import (
    Chooser,
    Steps,
    alone,
    follows,
    norm_length,
    overwritten,
    pinned,
    pooled_length,
    sum_length,
    trained_sum_length,
    with_relu,
)
from layerforge.engines.lowering import Refusal
from layerforge.engines.onednn.batch_norm import batch_norm
from layerforge.engines.onednn.compiled import compiler
from layerforge.engines.onednn.convolution import convolution
from layerforge.engines.onednn.dropout import dropout
from layerforge.engines.onednn.inner_product import inner_product
from layerforge.engines.onednn.joining import concat, eltwise, slices, split, view
from layerforge.engines.onednn.layout import LayoutFactory
from layerforge.engines.onednn.library import Library
from layerforge.engines.onednn.lstm import lstm
from layerforge.engines.onednn.normalization import lrn, softmax
from layerforge.engines.onednn.normed import convolution_norm, convolution_norm_sum, convolution_sum
from layerforge.engines.onednn.places import places
from layerforge.engines.onednn.pointwise import FUNCTIONS, pointwise, power
from layerforge.engines.onednn.pooling import convolution_pooling, pooling
from layerforge.engines.onednn.primitive import Context
from layerforge.engines.onednn.recurrent import recurrent
from layerforge.engines.onednn.step import OneDnnStep
from layerforge.engines.onednn.swept_pooling import swept_pooling
from layerforge.engines.onednn.update import CompiledUpdateOps
from layerforge.engines.rules import check_values, first_taken
from layerforge.engines.step import Refused, Rule


def _convolution(steps: Steps, index: int, keep: str) -> tuple[Rule, int]:
    length = sum_length(steps, index, keep)
    if length:
        return convolution_sum, length
    length = trained_sum_length(steps, index, keep) if compiler() is not None else 0
    if length:
        return convolution_norm_sum, length
    return _convolution_norm(steps, index, keep)


def _convolution_norm(steps: Steps, index: int, keep: str) -> tuple[Rule, int]:
    behind = index + 1 < len(steps) and follows(steps, index + 1, keep)
    length = norm_length(steps, index + 1, keep) if behind and not steps[index].layer.axes == 0 else 0
    if length and steps[index + 1].layer.type in ("BatchNorm", "Scale"):
        return convolution_norm, 1 + length
    if pooled_length(steps, index, keep):
        return convolution_pooling, 3
    return with_relu(convolution)(steps, index, keep)


def _norm(steps: Steps, index: int, keep: str) -> tuple[Rule, int]:
    length = norm_length(steps, index, keep)
    if not length:
        raise Refused("a form of it that oneDNN does not have")
    return batch_norm, length


def _pointwise(steps: Steps, index: int, keep: str) -> tuple[Rule, int]:
    reads_output = steps[index].layer.type in ("ELU", "Swish")
    if reads_output and steps[index].needed and overwritten(steps, index):
        raise Refused("a layer behind overwrites its output, which the gradient reads")
    return pointwise, 1


def _pooling(steps: Steps, index: int, keep: str) -> tuple[Rule, int]:
    return (pooling, 1) if steps[index].needed else (swept_pooling, 1 + _followed_by("LRN", steps, index, keep))


def _lrn(steps: Steps, index: int, keep: str) -> tuple[Rule, int]:
    return (swept_pooling, 2) if _followed_by("Pooling", steps, index, keep) else (lrn, 1)


def _followed_by(kind: str, steps: Steps, index: int, keep: str) -> bool:
    """Whether, in inference, a layer of this type reads the layer's output, and nothing else does."""
    if index + 1 == len(steps) or steps[index + 1].layer.type != kind or steps[index].needed:
        return False
    return keep == "outputs" and follows(steps, index + 1, keep)


RECURRENT = ("GRU", "RNN", "LSTM")
VIEWS = ("Flatten", "Reshape", "Squeeze", "ExpandDimsND")

RULES: dict[str, Chooser] = {
    "Convolution": _convolution,
    "DepthwiseConvolution": _convolution,
    "Deconvolution": with_relu(convolution),
    "BatchNorm": _norm,
    "Scale": _norm,
    "InnerProduct": with_relu(inner_product),
    "Eltwise": with_relu(eltwise),
    "Pooling": _pooling,
    "LRN": _lrn,
    "Softmax": alone(softmax),
    "Concat": alone(concat),
    "Slice": alone(slices),
    "Split": alone(split),
    "Power": alone(power),
    "Dropout": alone(dropout),
    **dict.fromkeys(RECURRENT, alone(recurrent)),
    "LSTM": lambda steps, index, keep: (lstm if compiler() else recurrent, 1),
    **dict.fromkeys(VIEWS, alone(view)),
    **dict.fromkeys(FUNCTIONS, _pointwise),
}
"""Layer type → which rule takes it, and how many layers from it on run as one."""

ALONE: dict[str, Rule] = {
    **dict.fromkeys(("Convolution", "DepthwiseConvolution"), convolution), "Pooling": pooling, "LRN": lrn,
}
"""The rule for a single layer, where the rule for it and those behind refuses."""


EXACT = ("Softmax", "Split", *RECURRENT, *VIEWS)
"""Layers that compute in float32 whatever the net does, and some that compute nothing."""


class OneDnnEngine:
    """Plans one net.

    keep          "all": only what works in place may be hidden;  "outputs": whatever lies between may be
    compute_type  FP32 or BF16
    update_ops    update rules in compiled loops; None where these are missing
    """

    name, backend = "ONEDNN", "numpy"

    def __init__(self, library: Library, keep: str = "all", compute_type: str = "FP32") -> None:
        self.keep = keep
        self.context = Context(library, LayoutFactory(library), compute_type)
        self.running = self.context.layouts.running
        self._steps: Steps = ()
        self.update_ops = None if compiler() is None else CompiledUpdateOps()

    def lower(self, steps: Steps, index: int) -> OneDnnStep | Refusal:
        """A step that runs steps[index] and perhaps the layers behind it, or why not."""
        if self._steps is not steps:
            self._steps, self.context.exact = steps, exact_values(steps)
            self.context.places = places(steps, self.keep)
        try:
            return self._lower(steps, index)
        except Refused as refusal:
            for view in steps[index].tops:
                self.context.writes(view.blob, None)
            return Refusal(self.name, str(refusal))

    def _lower(self, steps: Steps, index: int) -> OneDnnStep:
        layer = steps[index].layer
        if layer.type not in RULES:
            raise Refused("no rule for this type")
        check_values(steps[index])
        ways = self._ways(steps, index)
        strictness = (True, False) if self.context.compute_type != "FP32" else (False,)
        return first_taken(
            ((rule, count, strict) for strict in strictness for rule, count in ways),
            lambda rule, count, strict: OneDnnStep(self.context, steps[index : index + count], rule, strict),
        )

    def _ways(self, steps: Steps, index: int) -> list[tuple[Rule, int]]:
        """Rules for the layer, and how many layers each takes as one: the first that does not refuse is the best."""
        layer = steps[index].layer
        ways = [RULES[layer.type](steps, index, self.keep)]
        if ways[0][0] is convolution_norm_sum:
            ways.append(_convolution_norm(steps, index, self.keep))
        if ways[0][0] is convolution_pooling:
            ways.append(with_relu(convolution)(steps, index, self.keep))
        if ways[-1][1] > 1 or ways[0][0] is swept_pooling:
            ways.append((ALONE.get(layer.type, ways[-1][0]), 1))
        return ways


def exact_values(steps: Steps) -> set[Any]:
    """The values that nobody reads but losses, outputs and others that compute in float32."""
    found = {view.blob.data for step in steps for view in step.tops}
    for step in steps:
        if step.layer.type in RULES and step.layer.type not in EXACT and not pinned(step):
            found.difference_update(view.blob.data for view in step.bottoms)
    return found
