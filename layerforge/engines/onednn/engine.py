"""The oneDNN engine: which rule takes which layers of a net."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from layerforge.engines.lowering import Refusal
from layerforge.engines.onednn.convolution import convolution
from layerforge.engines.onednn.inner_product import inner_product
from layerforge.engines.onednn.joining import concat, eltwise, split
from layerforge.engines.onednn.layout import LayoutFactory
from layerforge.engines.onednn.library import Library
from layerforge.engines.onednn.normalization import lrn, softmax
from layerforge.engines.onednn.pointwise import FUNCTIONS, pointwise
from layerforge.engines.onednn.pooling import pooling
from layerforge.engines.onednn.primitive import Context, Refused
from layerforge.engines.onednn.step import OneDnnStep, Rule
from layerforge.engines.onednn.weighted import fusable_relu

Steps = Sequence[Any]


def _with_relu(steps: Steps, index: int) -> int:
    return 2 if fusable_relu(steps, index + 1) else 1


def _alone(steps: Steps, index: int) -> int:
    return 1


RULES: dict[str, tuple[Rule, Callable[[Steps, int], int]]] = {
    "Convolution": (convolution, _with_relu),
    "DepthwiseConvolution": (convolution, _with_relu),
    "Deconvolution": (convolution, _with_relu),
    "InnerProduct": (inner_product, _with_relu),
    "Eltwise": (eltwise, _with_relu),
    "Pooling": (pooling, _alone),
    "LRN": (lrn, _alone),
    "Softmax": (softmax, _alone),
    "Concat": (concat, _alone),
    "Split": (split, _alone),
    **dict.fromkeys(FUNCTIONS, (pointwise, _alone)),
}
"""Layer type → the rule, and how many layers from an index on it runs as one."""


class OneDnnEngine:
    """Plans one net.

    keep  "all": only what works in place may be hidden;  "outputs": whatever lies between may be
    """

    name, backend = "ONEDNN", "numpy"

    def __init__(self, library: Library, keep: str = "all") -> None:
        self.keep = keep
        self.context = Context(library, LayoutFactory(library))

    def lower(self, steps: Steps, index: int) -> OneDnnStep | Refusal:
        """A step that runs steps[index] and perhaps the layers behind it, or why not."""
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
        rule, length = RULES[layer.type]
        count = length(steps, index)
        return OneDnnStep(self.context, steps[index : index + count], rule)


def check_values(step: Any) -> None:
    """Refuses what no rule takes: other types than float32, empty blobs, layers for several pairs of blobs."""
    layer = step.layer
    blobs = [view.blob for view in (*step.bottoms, *step.tops)]
    if layer.dtype != np.float32:
        raise Refused(f"{layer.dtype} values, it computes in float32")
    if any(blob.count == 0 or not blob.shape for blob in blobs):
        raise Refused("a blob without values or without axes")
    if layer.paired and len(step.bottoms) > 1:
        raise Refused("several bottoms share one kernel")
