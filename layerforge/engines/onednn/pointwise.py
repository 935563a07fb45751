"""The ReLU family: functions of one value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from layerforge.core import threads
from layerforge.core.blob import Blob
from layerforge.core.use import Access, Use
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.compiled import compiler
from layerforge.engines.onednn.layout import F32, Layout
from layerforge.engines.onednn.primitive import Context, Descriptor, Primitive, Read, Write
from layerforge.engines.onednn.step import relu
from layerforge.engines.onednn.sweep import WIDTHS, Operand, Sweep
from layerforge.engines.step import Refused, Runs, Work, elements


class Function(NamedTuple):
    """oneDNN's algorithms for forward and backward with their two numbers.

    by_output      the gradient follows from y, else from x: as in the layer itself, since a layer behind may overwrite
                   y
    forward_alpha  forward's own number; None: alpha
    """

    forward: int
    backward: int
    alpha: float = 0.0
    beta: float = 0.0
    by_output: bool = True
    forward_alpha: float | None = None


def _relu(layer: Any, inside: bool) -> Function:
    if layer.limits:
        raise Refused("oneDNN's ReLU has no limits")
    forward, alpha, _ = relu(layer.slope)
    if layer.slope < 0 or not inside:
        return Function(forward, n.RELU, layer.slope, 0.0, False, alpha)
    return Function(forward, n.RELU_BY_DST, layer.slope, forward_alpha=alpha)


def _elu(layer: Any, inside: bool) -> Function:
    alpha = layer.params.alpha
    if alpha < 0 or not inside:
        return Function(n.ELU, n.ELU, alpha, 0.0, False)
    return Function(n.ELU, n.ELU_BY_DST, alpha)


FUNCTIONS: dict[str, Callable[[Any, bool], Function]] = {
    "ReLU": _relu,
    "ReLU6": lambda layer, inside: Function(n.CLIP, n.CLIP_BY_DST, 0.0, layer.params.threshold),
    "ELU": _elu,
    "Sigmoid": lambda layer, inside: Function(n.LOGISTIC, n.LOGISTIC_BY_DST),
    "TanH": lambda layer, inside: Function(n.TANH, n.TANH_BY_DST),
    "Swish": lambda layer, inside: Function(n.SWISH, n.SWISH, layer.params.beta, 0.0, False),
    "BNLL": lambda layer, inside: Function(n.SOFT_RELU, n.SOFT_RELU, 1.0, 0.0, False),
    "Softplus": lambda layer, inside: Function(n.SOFT_RELU, n.SOFT_RELU, 1.0, 0.0, False),
    "AbsVal": lambda layer, inside: Function(n.ABSOLUTE, n.ABSOLUTE, 0.0, 0.0, False),
}


PIECES = 4  # for a thread, so that all end together
SAVED = ("Swish", "BNLL", "Softplus")
"""Types whose gradient in place is that of the input that they were given, of which they keep a copy."""


def _is_bf16(value: float) -> bool:
    return not int(np.float32(value).view(np.uint32)) & 0xFFFF


def pointwise(context: Context, steps: Sequence[Any]) -> Work:
    """steps: the activation alone."""
    step, layer = steps[0], steps[0].layer
    bottom, top = step.bottoms[0].blob, step.tops[0].blob
    function = FUNCTIONS[layer.type](layer, bottom.data is top.data)
    backward_wanted = step.needed and step.propagate_down[0]
    lost = bottom.data is top.data and backward_wanted and not function.by_output
    if lost and layer.type not in SAVED:
        raise Refused("in place, where the gradient needs the input")
    x = context.layout_of(bottom)
    if x.lossy and function.forward == n.CLIP and not _is_bf16(function.beta):
        raise Refused(f"the bound {function.beta:g} is no bfloat16 number, and the gradient asks whether y is below it")
    numbers = function.alpha, function.beta
    work = Work()
    work.flops = elements(top.shape)
    if function.forward == n.CLIP:
        work.forwards = [clipped(bottom, top, x, function.beta)]
    else:
        alpha = function.alpha if function.forward_alpha is None else function.forward_alpha
        kind = n.TRAINING if step.needed else n.INFERENCE
        forward = Descriptor(
            context, "eltwise_forward", kind, function.forward, x.desc, x.desc, alpha, function.beta
        ).fast()
        work.forwards = [Primitive(forward, [Read(n.SRC, bottom, "data", x), Write(n.DST, top, "data", x)])]
    context.writes(top, x)
    given = bottom
    if lost:
        given = Blob(bottom.shape, name="saved")
        work.forwards.insert(0, linear(context, bottom, given, "data", x, 1.0))
    if backward_wanted:
        hint = Descriptor(context, "eltwise_forward", n.TRAINING, function.backward, x.desc, x.desc, *numbers)
        desc = Descriptor(
            context, "eltwise_backward", function.backward, x.desc, x.desc, x.desc, *numbers, hint.handle
        ).fast()
        saved = Read(n.DST, top, "data", x) if function.by_output else Read(n.SRC, given, "data", x)
        work.backwards = [
            Primitive(desc, [saved, Read(n.DIFF_DST, top, "diff", x), Write(n.DIFF_SRC, bottom, "diff", x)])
        ]
    return work


def clipped(bottom: Blob, top: Blob, layout: Layout, threshold: float) -> Runs:
    """y = min(max(x, 0), threshold), NaN for NaN: of which oneDNN's own makes 0."""
    count = layout.nbytes // layout.dtype.itemsize
    width = next((width for width in reversed(WIDTHS) if count % width == 0), 0)
    if width and compiler() is not None:
        vectors = count // width
        cut = [1, 1, vectors, min(vectors, PIECES * threads.count())]
        operands = [Operand(bottom, "data"), Operand(top, "data", Access.WRITE)]
        return Sweep("clip", (), layout, cut, operands, [np.full(width, threshold, np.float32)], width)
    if layout.lossy:
        raise Refused("no loop for bfloat16, and oneDNN's own makes 0 of NaN")
    return Clip(bottom, top, layout, threshold)


class Clip:
    """The same where there is no compiler, or where vectors do not fill the array."""

    def __init__(self, bottom: Blob, top: Blob, layout: Layout, threshold: float) -> None:
        self._source, self._target, self._threshold = bottom.data, top.data, np.float32(threshold)
        self._representation = layout.representation

    def run(self) -> None:
        x = self._source.array(self._representation)
        np.clip(x, np.float32(0), self._threshold, out=self._target.claim(self._representation))

    def uses(self) -> Sequence[Use]:
        return (
            Use(self._source, self._representation, Access.READ),
            Use(self._target, self._representation, Access.WRITE),
        )


def power(context: Context, steps: Sequence[Any]) -> Work:
    """y = scale · x + shift: Power with the power 1."""
    step, p = steps[0], steps[0].layer.params
    bottom, top = step.bottoms[0].blob, step.tops[0].blob
    if p.power != 1:
        raise Refused("it takes the power 1 alone")
    backward_wanted = step.needed and step.propagate_down[0]
    if backward_wanted and bottom is top:
        raise Refused("in place, where Caffe's gradient is not that of the function")
    x = context.layout_of(bottom)
    work = Work()
    if p.scale == 0:  # whatever x is, NaN too
        x = context.layouts.plain(bottom.shape, F32) if p.shift else x
        work.forwards = [Fill(top, "data", x, p.shift)]
        context.writes(top, x)
        work.backwards = [Fill(bottom, "diff", x, 0.0)] if backward_wanted else []
        return work
    work.flops = 2 * elements(top.shape)
    work.forwards = [linear(context, bottom, top, "data", x, p.scale, p.shift)]
    context.writes(top, x)
    if backward_wanted:
        work.backwards = [linear(context, top, bottom, "diff", x, p.scale)]
    return work


class Fill:
    """One number everywhere: 0 in any layout, others in plain order."""

    def __init__(self, blob: Blob, part: str, layout: Layout, number: float) -> None:
        self._storage, self._layout, self._number = getattr(blob, part), layout, number

    def run(self) -> None:
        self._storage.claim(self._layout.representation)[...] = self._number

    def uses(self) -> Sequence[Use]:
        return (Use(self._storage, self._layout.representation, Access.WRITE),)


def linear(
    context: Context, source: Blob, target: Blob, part: str, layout: Layout, factor: float, offset: float = 0.0
) -> Primitive:
    """target = factor · source + offset; part: "data" or "diff"."""
    desc = Descriptor(
        context, "eltwise_forward", n.INFERENCE, n.LINEAR, layout.desc, layout.desc, factor, offset
    ).fast()
    return Primitive(desc, [Read(n.SRC, source, part, layout), Write(n.DST, target, part, layout)])
