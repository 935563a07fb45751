"""Pooling: MAX and AVE, and MAX with the convolution before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.core.blob import Blob
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.convolution import convolution
from layerforge.engines.onednn.library import dims
from layerforge.engines.onednn.primitive import Argument, Context, Descriptor, Primitive, Read, Write
from layerforge.engines.onednn.step import workspace
from layerforge.engines.onednn.weighted import relu_backward
from layerforge.engines.rules import check_pooling
from layerforge.engines.step import Refused, Work, elements


def pooling(context: Context, steps: Sequence[Any], gradient: Blob | None = None) -> Work:
    """steps: the pooling alone.

    gradient  has in its diff what backward reads in place of the top's
    """
    step, layer = steps[0], steps[0].layer
    bottom, top = step.bottoms[0].blob, step.tops[0].blob
    check_pooling(step)
    w, sizes, outs = layer.window, bottom.shape[2:], top.shape[2:]
    # Caffe rounds up: the padding behind is what the last window needs.
    behind = [max((o - 1) * s + k - size - p, 0) for o, s, k, size, p in zip(outs, w.stride, w.kernel, sizes, w.pad)]
    algorithm = n.POOL_MAX
    if layer.method == "AVE":
        algorithm = _average(layer, behind)
    x = context.layout_of(bottom)
    window = dims(w.stride), dims(w.kernel), dims([0] * len(outs)), dims(w.pad), dims(behind)
    forward = Descriptor(
        context,
        "pooling_forward",
        n.TRAINING if step.needed else n.INFERENCE,
        algorithm,
        x.desc,
        context.layouts.any(top.shape),
        *window,
    ).fast()
    y = forward.layout(n.DST)
    arguments: list[Argument] = [Read(n.SRC, bottom, "data", x), Write(n.DST, top, "data", y)]
    kept = None
    if algorithm == n.POOL_MAX and step.needed:
        leave, kept = workspace(forward.layout(n.WORKSPACE))
        arguments.append(leave)
    work = Work()
    work.flops = elements(top.shape) * elements(w.kernel)
    work.forwards = [Primitive(forward, arguments)]
    context.writes(top, y)
    if step.needed and step.propagate_down[0]:
        backward = Descriptor(context, "pooling_backward", algorithm, x.desc, y.desc, *window, forward.handle).fast()
        back: list[Argument] = [Read(n.DIFF_DST, gradient or top, "diff", y), Write(n.DIFF_SRC, bottom, "diff", x)]
        if kept:
            back.append(kept)
        work.backwards = [Primitive(backward, back)]
    return work


def convolution_pooling(context: Context, steps: Sequence[Any]) -> Work:
    """steps: a convolution, its ReLU, and the pooling of the maxima. For training: dx of the ReLU is taken on the
    maxima, which are positive where the values they were are, so that those need not be kept."""
    top = steps[2].tops[0].blob
    passed = Blob(top.shape, np.float32, "passed by the ReLU")
    work, behind = convolution(context, steps[:2], masked=True), pooling(context, steps[2:], passed)
    work.forwards += behind.forwards
    signs = relu_backward(context, top, context.layout_of(top), 0.0, passed)
    work.backwards = [signs, *behind.backwards, *work.backwards]
    work.flops += behind.flops
    return work


def _average(layer: Any, behind: Sequence[int]) -> int:
    """The algorithm that divides as Caffe does: by the window cut at size + pad."""
    w = layer.window
    if not w.padded or not layer.count_padding:
        return n.POOL_WITHOUT_PADDING
    if all(b <= p for b, p in zip(behind, w.pad_end)):
        return n.POOL_WITH_PADDING
    raise Refused("windows reach over the padding, where Caffe's divisor is one that oneDNN does not have")
