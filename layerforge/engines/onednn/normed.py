"""Convolution with the normalisation behind it: side by side in training, folded into the weights for inference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.storage import HOST, Storage
from layerforge.core.use import Use
from layerforge.engines.onednn.batch_norm import Norm, batch_norm
from layerforge.engines.onednn.convolution import convolution
from layerforge.engines.onednn.primitive import Context
from layerforge.engines.onednn.sweep import sweeps
from layerforge.engines.onednn.swept_norm import Normalisation, NormalisationGradient
from layerforge.engines.step import Bound, Refused, Work, elements, nothing


class _Product:
    """factor · W, made for who reads it: what kernels keep of it lies in an order of their own."""

    repeats = True

    def __init__(self, w: Storage, factor: np.ndarray) -> None:
        self.w, self.factor = w, factor

    def __call__(self) -> np.ndarray:
        w = self.w.glance().reshape(len(self.factor), -1)
        return np.multiply(w, self.factor[:, None], out=np.empty(w.shape, np.float32), casting="same_kind")


class Folded:
    """W' = factor · W, b' = factor · b + offset: the normalisation of what the convolution gives. Made anew when
    anything has changed.

    y = factor · (W ⋆ x + b) + offset = W' ⋆ x + b'
    """

    def __init__(self, layer: Any, norm: Norm) -> None:
        self.layer, self.norm = layer, norm
        self.w, self.b = (
            Blob(layer.W.shape, np.float32, "folded weights"),
            Blob((layer.params.num_output,), np.float32, "folded bias"),
        )
        self.seen: Any = None

    def run(self) -> None:
        own = [view.blob.data for view in (self.layer.W, self.layer.b) if view]
        now = (*((id(storage), storage.version) for storage in own), *self.norm.versions())
        if now == self.seen:
            return
        factor, offset = self.norm.folded()
        self.w.data.begin_with(_Product(own[0], factor))
        self.b.data.set(factor * own[1].array(HOST) + offset if own[1:] else offset)
        self.seen = (
            tuple((id(storage), storage.version) for storage in own) + self.norm.versions()
        )  # reading may fill the first time

    def bound(self) -> Bound:
        return nothing

    def uses(self) -> Sequence[Use]:
        return ()


def _folded(context: Context, first: Any, rest: Sequence[Any], norm: Norm) -> Folded:
    """One for all shapes: it knows none."""
    made: Folded = context.once((Folded, *(step.layer for step in (first, *rest))), lambda: Folded(first.layer, norm))
    return made


def convolution_norm(context: Context, steps: Sequence[Any]) -> Work:
    """steps: the convolution, then BatchNorm, Scale or both, and perhaps a ReLU."""
    first, rest = steps[0], steps[1:]
    norm = Norm(rest)
    if not first.needed and not norm.batch:
        folded = _folded(context, first, rest, norm)
        relu = [step for step in rest if step.layer.type == "ReLU"]
        work = convolution(context, [first, *relu], rest[-1].tops[0].blob, (folded.w, folded.b))
        work.forwards.insert(0, folded)
        return work
    top = first.tops[0].blob
    between = Blob(top.shape, np.float32, f"{first.layer.name} before") if norm.bottom.data is norm.top.data else None
    work, behind = convolution(context, [first], between), batch_norm(context, rest, between)
    work.forwards += behind.forwards
    work.backwards = behind.backwards + work.backwards
    work.flops += behind.flops
    return work


def convolution_norm_sum(context: Context, steps: Sequence[Any]) -> Work:
    """steps: the convolution, its normalisation, the sum with another value, perhaps a ReLU, perhaps a Split. For
    training: the normalised value is never written, nor is the sum of the gradients of Split's tops."""
    at = next(i for i, step in enumerate(steps) if step.layer.type == "Eltwise")
    first, rest, sum_step = steps[0], steps[1:at], steps[at]
    last = steps[-1]
    norm = Norm(rest)
    own, into = rest[-1].tops[0].blob, sum_step.tops[0].blob
    other = next(view.blob for view in sum_step.bottoms if view.blob is not own)
    between = Blob(own.shape, np.float32, f"{first.layer.name} before")
    work = convolution(context, [first], between)
    layout = context.layout_of(between)
    if not sweeps(layout):
        raise Refused("no loops for this layout")
    norm.relu = relu = any(step.layer.type == "ReLU" for step in steps[at:])
    forward = Normalisation(norm, between, layout, into, other)
    work.forwards.append(forward)
    work.flops += 5 * elements(own.shape)
    context.writes(into, layout)
    tops = [view.blob for view in last.tops] if last.layer.type == "Split" else [into]
    gradient = NormalisationGradient(forward, tops, norm.bottom, into if relu else None, other)
    work.backwards.insert(0, gradient)
    return work


def convolution_sum(context: Context, steps: Sequence[Any]) -> Work:
    """steps: the convolution, perhaps its normalisation, the sum with another value, perhaps a ReLU. For inference."""
    at = next(i for i, step in enumerate(steps) if step.layer.type == "Eltwise")
    first, rest, sum_step, relu = steps[0], steps[1:at], steps[at], steps[at + 1 :]
    own = steps[at - 1].tops[0].blob
    other = next(view.blob for view in sum_step.bottoms if view.blob is not own)
    into = sum_step.tops[0].blob
    if not rest:
        return convolution(context, [first, *relu], into, None, other)
    norm = Norm(rest)
    if norm.batch:
        raise Refused("statistics of the batch")
    folded = _folded(context, first, rest, norm)
    work = convolution(context, [first, *relu], into, (folded.w, folded.b), other)
    work.forwards.insert(0, folded)
    return work
