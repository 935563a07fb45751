"""Convolution and InnerProduct, with the ReLU, the known statistics and the sum behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from layerforge.backends.cupy.layout import ChannelsLast, cast_numbers
from layerforge.engines.cudnn.context import Context
from layerforge.engines.cudnn.graphs import BiasGradient, Convolution, DataGradient, WeightGradient
from layerforge.engines.cudnn.pointwise import relu_backward
from layerforge.engines.cudnn.rules import WEIGHTED
from layerforge.engines.cudnn.runs import GraphRun, KernelRun, Part, Run, Source, add, data_of, diff_of, read, write
from layerforge.engines.step import Work, elements


class Weighted:
    """One layer with weights as graphs.

    x, w, y  layouts;  g  its geometry
    home     where the weights are kept between passes: float32 in the order of w, unless that is padded
    """

    def __init__(self, context: Context, step: Any) -> None:
        self.context, self.step, self.layer = context, step, step.layer
        g = self.g = WEIGHTED[step.layer.type](step)
        outputs, kernel = g.w[0], g.w[2:]
        channels = self.layer.W.blob.count // (outputs * kernel[0] * kernel[1])
        groups = g.x[1] // g.w[1]
        self.x = context.layout((g.x[0], channels * groups, *g.x[2:]), g.x[1])
        self.w = context.layout((outputs, channels, *kernel), g.w[1])
        self.y = context.layout(g.y)
        self.bottom = step.bottoms[0].blob
        home, masters = self.layer.W.blob.diff.home, context.layout((outputs, channels, *kernel), stored="FP32")
        self.home = masters if home.plain and channels == g.w[1] else home  # padding would have to stay zero
        context.weights.need(self.w.form.count * context.dtype.itemsize)

    def forward(self, top: Part, *, relu: bool = False, factor: Source | None = None, bias: Source | None = None,
                z: Part | None = None) -> GraphRun:
        """y = relu(factor · (w ⋆ x) + bias + z); without factor the layer's own bias."""
        layer, context = self.layer, self.context
        if factor is None and layer.b:
            bias = read(data_of(layer.b.blob), context.memory)
        key = Convolution(self.g, context.kind, bias is not None, z is not None, relu, factor is not None)
        values: dict[str, Source] = {"x": read(data_of(self.bottom), self.x), "w": read(data_of(layer.W.blob), self.w)}
        context.homes[layer.W.blob] = self.home
        if factor is not None:
            values["factor"] = factor
        if bias is not None:
            values["bias"] = bias
        if z is not None:
            values["z"] = read(z, self.y)
        return GraphRun(context, key, {**values, "y": write(top, self.y)})

    def backward(self, dy: Source) -> list[Run]:
        """Adds to the parameters' gradients, then makes dx."""
        layer, context, runs = self.layer, self.context, []
        if layer.b and layer.needs_gradient[1]:
            runs += self._bias_gradient(dy)
        if layer.needs_gradient[0]:
            runs += self._weight_gradient(dy)
        if self.step.propagate_down[0]:
            values = {"dy": dy, "w": read(data_of(layer.W.blob), self.w), "dx": write(diff_of(self.bottom), self.x)}
            runs.append(GraphRun(context, DataGradient(self.g, context.kind), values))
        return runs

    def _weight_gradient(self, dy: Source) -> list[Run]:
        """By way of room: cuDNN has no gradient in wider numbers than its inputs', and none that adds up."""
        context, w, blob = self.context, self.w, self.layer.W.blob

        def room() -> Any:
            return context.weights.array(w.form.count, context.dtype)

        key = WeightGradient(self.g, context.kind)
        made = GraphRun(context, key, {"x": read(data_of(self.bottom), self.x), "dy": dy, "dw": room})
        home = self.home
        if isinstance(home, ChannelsLast) and home.form == replace(w.form, kind="FP32"):

            def accumulate(dw: Any, total: Any) -> None:
                cast_numbers(context.kernels, dw, context.stored, total, "FP32", add=True)

            return [made, Run(accumulate, room, add(diff_of(blob), home))]

        def turn_over(dw: Any, total: Any) -> None:
            w.unpack(dw, total, add=True)

        return [made, Run(turn_over, room, add(diff_of(blob), context.memory))]

    def _bias_gradient(self, dy: Source) -> list[Run]:
        context, blob = self.context, self.layer.b.blob
        db = context.own(blob.count)
        made = GraphRun(context, BiasGradient(self.g.y, context.kind), {"dy": dy, "db": db})
        return [made, accumulated(context, db, diff_of(blob))]


def accumulated(context: Context, new: Source, total: Part) -> Run:
    """total += new, both plain float32."""
    return Run(lambda each, into: context.xp.add(into, each, out=into), new, add(total, context.memory))


def weighted(context: Context, steps: Sequence[Any]) -> Work:
    """steps: the layer, and the ReLU behind it if there is a second one."""
    layer, top = Weighted(context, steps[0]), steps[0].tops[0].blob
    slope = steps[1].layer.slope if len(steps) > 1 else None
    work = Work()
    work.flops = 2 * elements(layer.g.y) * elements(layer.g.w[1:])
    work.forwards = [layer.forward(data_of(top), relu=slope == 0)]
    if slope:
        kernels = context.last
        both = read(data_of(top), layer.y), write(data_of(top), layer.y)
        work.forwards.append(KernelRun("ReLU", lambda x, y: kernels.sum([(x, 1.0)], y, slope), *both))
    context.writes(top, layer.y)
    if steps[0].needed:
        if slope is not None:
            work.backwards = [relu_backward(context, top, layer.y, slope)]
        work.backwards += layer.backward(read(diff_of(top), layer.y))
    return work
