"""Which layers cuDNN takes, and as which convolution. Pure: no device, no library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.engines.cudnn.graphs import Geometry

FEW = 4  # pictures have 3 channels, for which tensor cores have no kernels: they get a fourth, of zeros
NAME = "CUDNN"


class Refused(Exception):
    """The engine does not take a layer, and why."""


def check_values(step: Any) -> None:
    """Refuses what no graph takes."""
    layer = step.layer
    if layer.dtype != np.float32:
        raise Refused(f"{layer.dtype} values, it takes float32 ones")
    if any(view.blob.count == 0 or not view.blob.shape for view in (*step.bottoms, *step.tops)):
        raise Refused("a blob without values or without axes")
    if len(step.bottoms) != 1 or len(step.tops) != 1:
        raise Refused("several bottoms share one kernel")


def convolution(step: Any) -> Geometry:
    """A Convolution of one or two axes; of one, the first of two has size 1."""
    layer, window = step.layer, step.layer.window
    check_values(step)
    if layer.axes not in (1, 2):
        raise Refused(f"{layer.axes} spatial axes, it takes 1 or 2")
    lead = (1,) * (2 - layer.axes)
    none = (0,) * (2 - layer.axes)
    channels = layer.channels // layer.group
    padded = FEW if layer.group == 1 and channels < FEW else channels
    return Geometry(
        (layer.samples, padded * layer.group, *lead, *layer.sizes),
        (layer.params.num_output, padded, *lead, *window.kernel),
        (*lead, *window.stride),
        (*none, *window.pad),
        (*none, *window.pad_end),
        (*lead, *window.dilation),
    )


def inner_product(step: Any) -> Geometry:
    """An InnerProduct as a convolution whose kernel is as large as its input, which so keeps its layout."""
    layer, shape = step.layer, step.bottoms[0].shape
    check_values(step)
    if layer.params.transpose:
        raise Refused("transposed weights")
    spatial = shape[2:] if layer.first == 1 and len(shape) == 4 else ()
    channels, (h, w) = layer.k // math.prod(spatial), spatial or (1, 1)
    if spatial and channels < FEW:
        channels, h, w = layer.k, 1, 1
    one, none = (1, 1), (0, 0)
    return Geometry((layer.m, channels, h, w), (layer.params.num_output, channels, h, w), one, none, none, one)


RULES = {"Convolution": convolution, "DepthwiseConvolution": convolution, "InnerProduct": inner_product}


def relu_follows(steps: Sequence[Any], index: int) -> bool:
    """Whether steps[index] is a plain ReLU that works in place on the only top of the step before."""
    if index >= len(steps) or steps[index].layer.type != "ReLU":
        return False
    before, here = steps[index - 1], steps[index]
    blob = before.tops[0].blob
    return (
        here.layer.slope == 0
        and not here.layer.limits
        and here.bottoms[0].blob is blob
        and here.tops[0].blob is blob
        and here.needed == before.needed
        and (not here.needed or bool(here.propagate_down[0]))
        and not any(before.layer.definition.loss_weight)
        and str(getattr(here.layer.params, "engine", "DEFAULT") or "DEFAULT") in ("DEFAULT", NAME)
    )
