"""caffe.coord_map: how the coordinates of one layer's output lie on another's, and the Crop that aligns them.

A map (axis, a, b) says: output position x lies at input position (x - b) / a; axis is the one before the first spatial
axis, None when the layer treats all alike. Source: Caffe's coord_map.py, whose conventions these are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from layerforge.pycaffe.net_spec import Function, Top, layers

PASS_THROUGH = frozenset(
    "AbsVal BatchNorm Bias BNLL Dropout Eltwise ELU Log LRN Exp MVN Power ReLU PReLU Scale Sigmoid Split TanH "
    "Threshold Swish Clip ReLU6 BN".split()
)
Map = tuple[Any, Any, Any]


class UndefinedMapException(Exception):
    """The layer maps no coordinates: InnerProduct, Flatten, …"""


class AxisMismatchException(Exception):
    """Two maps speak of different axes."""


def coord_map(fn: Function) -> Map:
    """The map of one layer."""
    if fn.type_name in ("Convolution", "Pooling", "Im2col", "Deconvolution"):
        axis, stride, kernel, pad = _window(fn)
        if fn.type_name == "Deconvolution":
            return axis, stride, (kernel - 1) / 2 - pad
        return axis, 1 / stride, (pad - (kernel - 1) / 2) / stride
    if fn.type_name in PASS_THROUGH:
        return None, 1, 0
    if fn.type_name == "Crop":
        p = fn.params.get("crop_param", fn.params)
        return p.get("axis", 2) - 1, 1, -np.array(p.get("offset", 0), ndmin=1)
    raise UndefinedMapException(fn.type_name)


def _window(fn: Function) -> tuple[int, Any, Any, Any]:
    """axis, stride, the kernel's extent with dilation, pad: one value for all spatial axes, or one each."""
    p = fn.params.get("pooling_param" if fn.type_name == "Pooling" else "convolution_param", fn.params)
    legacy = {f"{name}_{side}" for name in ("pad", "kernel", "stride") for side in "hw"} & set(p)
    assert not legacy, f"coordinates are mapped through kernel_size, stride and pad, not {sorted(legacy)}"
    kernel, dilation, stride, pad = (np.array(p.get(name, default), ndmin=1) for name, default in
                                     (("kernel_size", 1), ("dilation", 1), ("stride", 1), ("pad", 0)))
    return p.get("axis", 1), stride, (kernel - 1) * dilation + 1, pad


def compose(first: Map, then: Map) -> Map:
    """The map of one layer behind another."""
    (axis1, a1, b1), (axis2, a2, b2) = first, then
    if axis1 is not None and axis2 is not None and axis1 != axis2:
        raise AxisMismatchException(f"axes {axis1} and {axis2}")
    return axis2 if axis1 is None else axis1, a1 * a2, a1 * b2 + b1


def inverse(mapping: Map) -> Map:
    """The map the other way."""
    axis, a, b = mapping
    return axis, 1 / a, -b / a


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map from one output to another, through the nearest output that both are made from.

    Raises RuntimeError when no chain of spatial layers connects them.
    """
    below = {top: mapping for top, mapping in _walk(top_from)}
    for top, mapping in _walk(top_to):
        if top in below:
            return compose(mapping, inverse(below[top]))
    raise RuntimeError("the tops are not connected by layers that map coordinates")


def _walk(start: Top) -> Any:
    """Every output below `start` that coordinates can be followed to, with the map to it."""
    pending: list[tuple[Top, Map]] = [(start, (None, 1, 0))]
    seen = set()
    while pending:
        top, mapping = pending.pop()
        if top in seen:
            continue
        seen.add(top)
        yield top, mapping
        sizes_only = 1 if top.fn.type_name == "Crop" else None  # a Crop's second bottom gives only a size
        bottoms = top.fn.inputs[:sizes_only]
        try:
            pending += [(bottom, compose(mapping, coord_map(top.fn))) for bottom in bottoms]
        except UndefinedMapException:
            pass


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop layer that cuts `top_from` to the part that lies on `top_to`.

    Raises AssertionError when the scales differ, or the offset is negative or broken.
    """
    axis, a, b = coord_map_from_to(top_from, top_to)
    assert (np.asarray(a) == 1).all(), f"scale mismatch on crop (a = {a})"
    assert (np.asarray(b) <= 0).all(), f"cannot crop negative offset (b = {b})"
    assert (np.round(b) == b).all(), f"cannot crop noninteger offset (b = {b})"
    offset = [int(n) for n in np.atleast_1d(-np.round(b))]
    made: Top = layers.Crop(top_from, top_to, crop_param=dict(axis=axis + 1, offset=offset))
    return made
