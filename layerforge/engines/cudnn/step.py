"""CudnnStep: a layer with weights, and the ReLU behind it, as cuDNN graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from layerforge.core.use import Access, Use, Uses
from layerforge.engines.cudnn.context import Context
from layerforge.engines.cudnn.graphs import BiasGradient, Convolution, DataGradient, Geometry, Key, WeightGradient
from layerforge.engines.cudnn.rules import NAME, Refused


class CudnnStep:
    """A Convolution or InnerProduct.

    layers     their numbers
    parts      their own steps, for passes that cut this one, and for shapes that cuDNN refuses after a reshape
    in_parts   the last forward pass ran by the parts: backward must too
    refusal    why the parts run now, "" while cuDNN does
    """

    engine = NAME

    def __init__(self, context: Context, parts: Sequence[Any], rule: Callable[[Any], Geometry]) -> None:
        self.layers = tuple(i for part in parts for i in part.layers)
        self.parts, self.in_parts = tuple(parts), False
        self._context, self._rule = context, rule
        self._layer, self._first, self._relu = parts[0].layer, parts[0], len(parts) > 1
        self._bottom, self._top = parts[0].bottoms[0].blob, parts[0].tops[0].blob
        self.refusal = ""
        self._plan()

    def _plan(self) -> None:
        """The graphs and layouts for the present shapes. Raises Refused."""
        self._shape = self._bottom.shape
        kind, layer = self._context.kind, self._layer
        g = self.geometry = self._rule(self._first)
        self._forward: Key = Convolution(g, kind, bias=layer.b is not None, relu=self._relu)
        self._data_gradient, self._weight_gradient = DataGradient(g, kind), WeightGradient(g, kind)
        self._bias_gradient = BiasGradient(g.y, kind)
        for key in self.keys():
            why = self._context.runner.check(key)
            if why:
                raise Refused(why)
        samples, outputs = g.x[0], g.w[0]
        spatial, kernel = g.x[2:], g.w[2:]
        channels = layer.W.blob.count // (outputs * kernel[0] * kernel[1])
        layout = self._context.layout
        self._x = layout((samples, channels * (g.x[1] // g.w[1]), *spatial), g.x[1])
        self._w = layout((outputs, channels, *kernel), g.w[1])
        self._y = layout(g.y)

    def keys(self) -> list[Key]:
        """The graphs that both passes need."""
        step, needs = self._first, self._layer.needs_gradient
        found: list[Key] = [self._forward]
        if step.needed:
            found += [self._weight_gradient] * bool(needs[0])
            found += [self._bias_gradient] * bool(self._layer.b and needs[1])
            found += [self._data_gradient] * bool(step.propagate_down[0])
        return found

    def reshape(self) -> None:
        for part in self.parts:
            part.reshape()
        try:
            self.refusal = ""
            self._plan()
        except Refused as refusal:
            self.refusal = str(refusal)

    def forward(self) -> None:
        if self._bottom.shape != self._shape:
            self.reshape()
        if self.refusal:
            for part in self.parts:
                part.forward()
            return
        layer = self._layer
        arrays = {"x": self._bottom.data.array(self._x), "w": layer.W.blob.data.array(self._w)}
        if layer.b:
            arrays["bias"] = layer.b.blob.data.array(self._context.memory)
        self._context.runner.run(self._forward, {**arrays, "y": self._top.data.claim(self._y)})

    def backward(self) -> None:
        if self.refusal:
            for part in reversed(self.parts):
                part.backward()
            return
        layer, needs, run = self._layer, self._layer.needs_gradient, self._context.runner.run
        dy = self._top.diff.array(self._y)
        if self._relu:
            self._y.relu_mask(dy, self._top.data.array(self._y))
            self._top.diff.wrote(self._y)
        if layer.b and needs[1]:
            self._add_bias_gradient(dy)
        if needs[0]:
            self._add_weight_gradient(dy)
        if self._first.propagate_down[0]:
            w = layer.W.blob.data.array(self._w)
            run(self._data_gradient, {"dy": dy, "w": w, "dx": self._bottom.diff.claim(self._x)})

    def _add_weight_gradient(self, dy: Any) -> None:
        """Through room of their own: what is added up are float32 numbers in plain order."""
        x, memory = self._bottom.data.array(self._x), self._context.memory
        total = self._layer.W.blob.diff.array(memory)
        dw = self._context.room(self._w)
        self._context.runner.run(self._weight_gradient, {"x": x, "dy": dy, "dw": dw})
        self._w.unpack(dw, total, add=True)
        self._layer.W.blob.diff.wrote(memory)

    def _add_bias_gradient(self, dy: Any) -> None:
        memory, blob = self._context.memory, self._layer.b.blob
        total = blob.diff.array(memory)
        db = self._context.kernels.room(-(-blob.count // 2)).view(total.dtype)[: blob.count]
        self._context.runner.run(self._bias_gradient, {"dy": dy, "db": db})
        self._context.xp.add(total, db, out=total)
        blob.diff.wrote(memory)

    def buffers(self) -> dict[int, int]:
        """Device memory is the backend's to know."""
        return {}

    def uses(self) -> Uses:
        if self.refusal:
            return Uses(
                *(
                    tuple(use for part in self.parts for use in getattr(part.uses(), name))
                    for name in ("forward", "backward")
                )
            )
        x, y, memory, step = self._bottom, self._top, self._context.memory, self._first
        weights = [Use(self._layer.W.blob.data, self._w, Access.READ)]
        bias = [Use(self._layer.b.blob.data, memory, Access.READ)] if self._layer.b else []
        forward = [Use(x.data, self._x, Access.READ), *weights, *bias, Use(y.data, self._y, Access.WRITE)]
        if not step.needed:
            return Uses(tuple(forward))
        backward = [Use(x.data, self._x, Access.READ), *weights]
        backward += [Use(y.data, self._y, Access.READ)] * self._relu
        backward.append(Use(y.diff, self._y, Access.UPDATE if self._relu else Access.READ))
        for view, wanted in zip(self._layer.blobs, self._layer.needs_gradient):
            backward += [Use(view.blob.diff, memory, Access.ADD)] * bool(wanted)
        backward += [Use(x.diff, self._x, Access.WRITE)] * bool(step.propagate_down[0])
        return Uses(tuple(forward), tuple(backward))

    def replay(self) -> None:
        """Runs forward again by the parts, so that their backward passes find what they keep."""
        for part in self.parts:
            part.forward()
        self.in_parts = True
