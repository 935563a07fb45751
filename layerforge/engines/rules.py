"""What engines have in common: layers that none takes, and the order in which rules are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

from layerforge.core.blob import Blob
from layerforge.engines.step import Refused

Way = tuple[Any, ...]
"""A rule, how many layers it takes as one, and whatever else an engine wants to know of a try."""
Made = TypeVar("Made")


def first_taken(ways: Iterable[Way], make: Callable[..., Made]) -> Made:
    """What the first way that is not refused makes of the layers.

    Raises Refused with the reason of the last way.
    """
    last = Refused()
    for way in ways:
        try:
            return make(*way)
        except Refused as refusal:
            last = refusal
    raise last


def check_values(step: Any) -> None:
    """Refuses other types than float32, empty blobs, and layers for several pairs of blobs."""
    layer = step.layer
    blobs = [view.blob for view in (*step.bottoms, *step.tops)]
    if layer.dtype != np.float32:
        raise Refused(f"{layer.dtype} values, it computes in float32")
    if any(blob.count == 0 or not blob.shape for blob in blobs):
        raise Refused("a blob without values or without axes")
    if layer.paired and len(step.bottoms) > 1:
        raise Refused("several bottoms share one kernel")


def check_sum(layer: Any, bottoms: Sequence[Blob], top: Blob) -> None:
    """Refuses an Eltwise that is no sum, that broadcasts, or that works in place."""
    if layer.params.operation != "SUM":
        raise Refused(f"it has no {layer.params.operation}")
    if any(blob.shape != top.shape for blob in bottoms):
        raise Refused("bottoms of different shapes")
    if any(blob is top for blob in bottoms):
        raise Refused("in place")


def check_pooling(step: Any) -> None:
    """Refuses a Pooling that is neither MAX nor AVE, or that gives the places of its maxima."""
    if step.layer.method not in ("MAX", "AVE"):
        raise Refused("it has no stochastic pooling")
    if len(step.tops) > 1:
        raise Refused("it does not give the places of the maxima")
