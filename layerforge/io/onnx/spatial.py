"""Convolutions, pooling, and what else slides over planes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from layerforge.core.window import Window
from layerforge.io.onnx.graph import Builder, Call, Refused, converts
from layerforge.layers.pooling import pooled_shape

LOWEST = float(np.finfo(np.float32).min)


@converts("Convolution", "DepthwiseConvolution", "ConvolutionDepthwise")
def convolution(g: Builder, call: Call) -> list[str]:
    """Conv, for every bottom with the same weights."""
    return _each(g, call, "Conv", call.layer.window, call.blobs[0], call.layer.groups())


@converts("Deconvolution")
def deconvolution(g: Builder, call: Call) -> list[str]:
    """ConvTranspose, whose weights are Caffe's."""
    return _each(g, call, "ConvTranspose", call.layer.window, call.blobs[0], call.layer.groups())


@converts("Im2col")
def im2col(g: Builder, call: Call) -> list[str]:
    """A convolution that picks every value of the window by itself."""
    window, channels = call.layer.window, call.layer.channels
    picks = np.eye(window.count, dtype=np.float32).reshape(window.count, 1, *window.kernel)
    return _each(g, call, "Conv", window, np.tile(picks, (channels, 1, *(1,) * len(window.kernel))), channels)


def _each(g: Builder, call: Call, op: str, window: Window, weights: np.ndarray, group: int) -> list[str]:
    layer, made = call.layer, []
    axes = len(window.kernel)
    inputs = [g.weight("0", weights if axes else weights[..., None])]
    if len(call.blobs) > 1:
        inputs.append(g.weight("1", call.blobs[1]))
    for x, shape, top in zip(call.x, call.bottoms, call.tops):
        if layer.first != 1 or not axes:  # (*lead, C, *sizes) → (N, C, *sizes)
            x = g.reshape(x, (layer.samples, *shape[layer.first :], *(() if axes else (1,))))
        y = g.node(op, x, *inputs, group=group, kernel_shape=list(window.kernel) or [1],
                   strides=list(window.stride) or [1], dilations=list(window.dilation) or [1],
                   pads=[*window.pad, *window.pad_end] or [0, 0])
        made.append(g.reshape(y, top) if layer.first != 1 or not axes else y)
    return made


@converts("Pooling")
def pooling(g: Builder, call: Call) -> list[str]:
    """MaxPool and AveragePool; Caffe's sizes and divisors are brought about by padding and a factor for each place."""
    layer, p, (x,), shape, out = call.layer, call.params, call.x, call.bottoms[0], call.tops[0]
    if p.global_pooling and len(call.tops) == 1 and layer.method in ("MAX", "AVE"):
        return [g.node("GlobalMaxPool" if layer.method == "MAX" else "GlobalAveragePool", x)]
    if layer.method == "MAX":
        return _max_pool(g, x, layer.window, shape, out[2:], mask=len(call.tops) > 1)
    if layer.method == "AVE":
        return [_average_pool(g, x, layer.window, shape[2:], out[2:], layer.count_padding)]
    if layer.train:
        raise Refused("pool: STOCHASTIC draws in the TRAIN phase")
    squares = _average_pool(g, g.node("Mul", x, x), layer.window, shape[2:], out[2:])
    sums = _average_pool(g, x, layer.window, shape[2:], out[2:])
    positive = g.real(g.node("Greater", sums, g.const(0.0)))
    safe = g.node("Add", sums, g.node("Sub", g.const(1.0), positive))
    return [g.node("Mul", g.node("Div", squares, safe), positive)]


def _behind(window: Window, sizes: Sequence[int], outs: Sequence[int]) -> list[int]:
    """The padding behind, so that rounding down gives these outputs."""
    ends = zip(sizes, outs, window.kernel, window.stride, window.pad)
    return [max((o - 1) * s + k - n - p, 0) for n, o, k, s, p in ends]


def _max_pool(g: Builder, x: str, window: Window, shape: Sequence[int], outs: Sequence[int], mask: bool) -> list[str]:
    sizes, behind = shape[2:], _behind(window, shape[2:], outs)
    pads = [*window.pad, *behind]
    if any(p >= k for p, k in zip(behind, window.kernel)):  # a window that lies behind the plane
        if mask:
            raise Refused("windows that lie outside the plane have no place for the mask")
        x = g.pad(x, [0, 0, *window.pad], [0, 0, *behind], LOWEST)
        pads = [0] * len(pads)
    made = g.several("MaxPool", [x], 2 if mask else 1, kernel_shape=list(window.kernel), strides=list(window.stride),
                     pads=pads)
    if mask:  # ONNX counts through the whole tensor, Caffe through a plane
        return [made[0], g.real(g.node("Mod", made[1], g.ints([math.prod(sizes)])))]
    return made


def _average_pool(
    g: Builder, x: str, window: Window, sizes: Sequence[int], outs: Sequence[int], count_padding: bool = True
) -> str:
    """The sum of each window over all of its places, then a factor where Caffe divides by fewer."""
    behind = _behind(window, sizes, outs)
    pads = [*window.pad, *behind]
    if any(p >= k for p, k in zip(behind, window.kernel)):
        x = g.pad(x, [0, 0, *window.pad], [0, 0, *behind])
        pads = [0] * len(pads)
    y = g.node("AveragePool", x, kernel_shape=list(window.kernel), strides=list(window.stride), pads=pads,
               count_include_pad=1)
    counts = [_counts(window, axis, n, o, count_padding) for axis, (n, o) in enumerate(zip(sizes, outs))]
    if min(c.min() for c in counts) < 1:
        raise Refused("windows that lie outside the plane have no mean")
    factor = window.count / np.multiply.outer(*counts)  # (Ho, Wo)
    return y if np.all(factor == 1) else g.node("Mul", y, g.const(factor))


def _counts(window: Window, axis: int, size: int, outs: int, count_padding: bool) -> np.ndarray:
    """How many places of an axis each window is divided by."""
    start = np.arange(outs) * window.stride[axis] - window.pad[axis]
    if count_padding:
        return np.minimum(start + window.kernel[axis], size + window.pad_end[axis]) - start
    return np.minimum(start + window.kernel[axis], size) - np.maximum(start, 0)


@converts("SPP")
def spp(g: Builder, call: Call) -> list[str]:
    """A pooling for each level, flattened and joined."""
    (x,), shape, levels = call.x, call.bottoms[0], []
    for window in call.layer.windows:
        outs = pooled_shape(window, shape[2:], ceil=True)
        pooled = (_max_pool(g, x, window, shape, outs, mask=False)[0] if call.params.pool == "MAX"
                  else _average_pool(g, x, window, shape[2:], outs))
        levels.append(pooled)
    if len(levels) == 1:
        return levels
    return [g.node("Concat", *(g.node("Flatten", level, axis=1) for level in levels), axis=1)]


@converts("LRN")
def lrn(g: Builder, call: Call) -> list[str]:
    """LRN across channels; within a channel a mean over squares."""
    p, (x,) = call.params, call.x
    if call.layer.across:
        return [g.node("LRN", x, size=p.local_size, alpha=p.alpha, beta=p.beta, bias=p.k)]
    mean = _average_pool(g, g.node("Mul", x, x), call.layer.window, call.bottoms[0][2:], call.tops[0][2:])
    scale = g.node("Pow", g.scaled(mean, p.alpha, 1.0), g.const(-p.beta))
    return [g.node("Mul", x, scale)]


@converts("ROIPooling")
def roi_pooling(g: Builder, call: Call) -> list[str]:
    """MaxRoiPool is this very layer."""
    p = call.params
    return [g.node("MaxRoiPool", *call.x, pooled_shape=[p.pooled_h, p.pooled_w], spatial_scale=p.spatial_scale)]


@converts("Interp")
def interp(g: Builder, call: Call) -> list[str]:
    """Resize with aligned corners, of what is left after cutting."""
    p, (x,), shape, out = call.params, call.x, call.bottoms[0], call.tops[0]
    if p.pad_beg or p.pad_end:
        x = g.slice(x, [-p.pad_beg] * 2, [n + p.pad_end for n in shape[2:]], [2, 3])
    if g.dynamic:
        return [_by_matrices(g, x, *(_aligned(n + p.pad_beg + p.pad_end, o) for n, o in zip(shape[2:], out[2:])))]
    sizes = g.ints(out)
    return [g.node("Resize", x, "", "", sizes, mode="linear", coordinate_transformation_mode="align_corners")]


def _aligned(size: int, outputs: int) -> np.ndarray:
    """The weights of linear interpolation with aligned corners, (outputs, size)."""
    place = np.arange(outputs) * ((size - 1) / (outputs - 1) if outputs > 1 else 0.0)
    return np.maximum(1 - np.abs(place[:, None] - np.arange(size)), 0)


def _by_matrices(g: Builder, x: str, rows: np.ndarray, columns: np.ndarray) -> str:
    """Linear maps along the rows and along the columns of planes."""
    return g.node("MatMul", g.node("MatMul", g.const(rows), x), g.const(columns.T))


@converts("ResizeBilinear", "ResizeNearestNeighbor", "Resample")
def resize(g: Builder, call: Call) -> list[str]:
    """Every dialect of resizing is two matrices."""
    shape, layer, x = call.bottoms[0], call.layer, call.x[0]
    last = getattr(call.params, "data_format", "NCHW") == "NHWC"
    sizes = shape[1:3] if last else shape[2:]
    rows, columns = (taps.matrix(n, np.float32) for taps, n in zip((layer.rows, layer.columns), sizes))
    if not last:
        return [_by_matrices(g, x, rows, columns)]
    planes = _by_matrices(g, g.node("Transpose", x, perm=[0, 3, 1, 2]), rows, columns)
    return [g.node("Transpose", planes, perm=[0, 2, 3, 1])]


@converts("Upsample", "UpsampleDarknet")
def upsample(g: Builder, call: Call) -> list[str]:
    """Nearest neighbours, or values put at the places of a mask."""
    (n, c, h, w), out = call.bottoms[0], call.tops[0]
    if len(call.x) == 1:
        scales = g.const([1, 1, *call.layer.sides])
        return [g.node("Resize", call.x[0], "", scales, mode="nearest", coordinate_transformation_mode="asymmetric",
                       nearest_mode="floor")]
    if g.dynamic:
        raise Refused("a mask needs a batch of fixed size")
    flat, places = g.reshape(call.x[0], (n, c, h * w)), g.whole(g.reshape(call.x[1], (n, c, h * w)))
    zeros = g.const(np.zeros((n, c, out[2] * out[3])))
    return [g.reshape(g.node("ScatterElements", zeros, places, flat, axis=2), out)]
