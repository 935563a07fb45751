"""What cuDNN takes, and as which convolution. Pure: no device, no library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from layerforge.engines.cudnn.graphs import Geometry
from layerforge.engines.step import Refused

FEW = 4  # pictures have 3 channels, for which tensor cores have no kernels: they get a fourth, of zeros
NAME = "CUDNN"


def check_axes(step: Any) -> None:
    """Refuses blobs without channels."""
    if any(len(view.shape) < 2 for view in (*step.bottoms, *step.tops)):
        raise Refused("a blob of one axis")


def check_lies_last(context: Any, blobs: Sequence[Any]) -> None:
    """Refuses work that only memory limits, where no bottom lies channels last: turning values over would cost more."""
    if not any(context.lies_last(blob) for blob in blobs):
        raise Refused("its bottoms lie in plain order")


def convolution(step: Any) -> Geometry:
    """A Convolution of one or two axes; of one, the first of two has size 1."""
    layer, window = step.layer, step.layer.window
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
    if layer.params.transpose:
        raise Refused("transposed weights")
    spatial = shape[2:] if layer.first == 1 and len(shape) == 4 else ()
    channels, (h, w) = layer.k // math.prod(spatial), spatial or (1, 1)
    if spatial and channels < FEW:
        channels, h, w = layer.k, 1, 1
    one, none = (1, 1), (0, 0)
    return Geometry((layer.m, channels, h, w), (layer.params.num_output, channels, h, w), one, none, none, one)


WEIGHTED = {"Convolution": convolution, "DepthwiseConvolution": convolution, "InnerProduct": inner_product}
