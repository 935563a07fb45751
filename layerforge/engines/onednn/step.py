"""OneDnnStep: some layers of a net as primitives, and what a rule makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from layerforge.core.blob import Blob
from layerforge.engines.lowering import Kernel, Refusal, Speeds
from layerforge.engines.onednn import numbers as n
from layerforge.engines.onednn.layout import BF16, Layout
from layerforge.engines.onednn.library import OneDnnError
from layerforge.engines.onednn.primitive import Context, Fixed, Read, Scratch, Write
from layerforge.engines.onednn.speed import speeds
from layerforge.engines.step import EngineStep, Refused, Rule, Work

PRODUCTS = ("Convolution", "DepthwiseConvolution", "Deconvolution", "InnerProduct")


class OneDnnStep(EngineStep):
    """Layers that run as primitives.

    refusals  why they run in another type than the net's
    """

    engine = "ONEDNN"
    refusals: tuple[Refusal, ...] = ()

    def __init__(self, context: Context, parts: Sequence[Any], rule: Rule, strict: bool = False) -> None:
        """strict: refuses rather than to run in another type than the net's."""
        self._strict = strict
        super().__init__(context, parts, rule)
        self._strict = False

    def plan(self) -> Work:
        """What the rule makes of the layers; in float32 where it has no kernel for the type of the net.

        Products make bfloat16 of what they read. All else goes on in the type that its bottoms have: labels and
        coordinates, which it would spoil, stay what they are.
        """
        first, context = self.parts[0], self.context
        context.planning = frozenset(self.layers)
        values = {view.blob.data for view in first.bottoms}
        if context.compute_type == "BF16" and (first.layer.type in PRODUCTS or values <= context.reduced):
            try:
                with context.computing_in(BF16):
                    return super().plan()
            except (Refused, OneDnnError) as refusal:
                if self._strict:
                    raise Refused(str(refusal)) from None
                self.refusals = (Refusal(f"{self.engine} in BF16", str(refusal)),)
        try:
            return super().plan()
        except OneDnnError as error:
            raise Refused(str(error)) from None

    def buffers(self) -> dict[int, int]:
        """Scratch of all steps, and arrays of this one."""
        shared = {id(each): each.nbytes for each in vars(self.context).values() if isinstance(each, Scratch)}
        runs = (*self.work.forwards, *self.work.backwards)
        arguments = [a for each in runs if hasattr(each, "primitives") for p in each.primitives() for a in p.arguments]
        return shared | {id(a): a.nbytes for a in arguments if isinstance(a, Fixed)}

    def speeds(self) -> Speeds:
        """What the machine reaches: measured when first asked."""
        return speeds(self.context.library)

    def kernels(self) -> list[Kernel]:
        """The primitives of both passes, for `time --explain`."""
        passes = ("forward", self.work.forwards), ("backward", self.work.backwards)
        return [
            Kernel(run, primitive.name, primitive.impl, primitive.layouts)
            for run, found in passes
            for each in found
            for primitive in (each.primitives() if hasattr(each, "primitives") else ())
        ]


LARGE = 3e38  # times any number that is not below float32's normal range, it exceeds 1


def workspace(layout: Layout) -> tuple[Write, Read]:
    """What a forward primitive leaves for its backward one: the arguments of both."""
    blob = Blob(layout.shape, np.float32, "workspace")
    return Write(n.WORKSPACE, blob, "data", layout), Read(n.WORKSPACE, blob, "data", layout)


def relu_after(slope: float) -> Callable[[Any, int], None]:
    """A post-op: y = max(x, 0) + slope · min(x, 0)."""
    return lambda library, chain: library.call("post_ops_append_eltwise", chain, *relu(slope))


def relu(slope: float) -> tuple[int, float, float]:
    """oneDNN's algorithm for a ReLU's forward pass, with its numbers.

    Its own makes 0 of NaN, and a net that is spoilt shows nothing. x · clip(∞ · x, 0, 1) is max(x, 0), and like Caffe's
    NaN for NaN and for -∞; where there is a slope, its own keeps NaN.
    """
    return (n.RELU, slope, 0.0) if slope else (n.HARD_SWISH, LARGE, 0.0)
