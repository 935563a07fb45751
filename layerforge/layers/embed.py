"""Rows of a table, picked by index."""

from __future__ import annotations

import math

from layerforge.layers.base import Layer
from layerforge.layers.fillers import FillerParams
from layerforge.netdef.params import Params, field


class EmbedParams(Params, message="embed_param"):
    num_output: int = field(int, required=True, at_least=1, doc="the length of a row")
    input_dim: int = field(int, required=True, at_least=1, doc="K: the number of rows; indices are 0 … K-1")
    bias_term: bool = field(bool, True, doc="adds a learned offset to every output")
    weight_filler: FillerParams = field(FillerParams, FillerParams(), doc="how W starts")
    bias_filler: FillerParams = field(FillerParams, FillerParams(), doc="how b starts")


class Embed(Layer):
    """y[m] = W[index[m]] + b

    bottom[0]  index, any shape, whole numbers as floats
    top[0]     y (*shape of index, num_output)
    blobs      W (input_dim, num_output), b (num_output,) when bias_term

    Source: Caffe's embed_layer.cpp
    """

    type, Params = "Embed", EmbedParams
    no_gradient = (0,)

    def setup(self, bottom, top):
        p = self.params
        self.W = self.add_blob((p.input_dim, p.num_output), p.weight_filler)
        self.b = self.add_blob((p.num_output,), p.bias_filler) if p.bias_term else None

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        top[0].reshape(*shape, self.params.num_output)
        self.index = self.kept((math.prod(shape),), "int32")

    def forward(self, bottom, top):
        p, index, values = self.params, self.index.data, bottom[0].data.reshape(-1)
        bad = self.ops.to_index(values, p.input_dim, out=index)
        if bad is not None:
            self.require(False,
                         f"bottom[0] holds {float(values[bad]):g} at place {bad}, expected 0 to {p.input_dim - 1}",
                         hint="input_dim is one more than the largest index", field="input_dim")
        y = top[0].data.reshape(-1, p.num_output)
        self.ops.take_rows(self.W.data, index, out=y)
        if self.b:
            self.ops.add_bias(y, self.b.data)

    def backward(self, top, propagate_down, bottom):
        self.require(not propagate_down[0], "an index has no gradient", hint="set propagate_down: false for it")
        dy = top[0].diff.reshape(-1, self.params.num_output)
        if self.needs_gradient[0]:
            self.ops.add_rows(dy, self.index.data, acc=self.W.diff)
        if self.b and self.needs_gradient[1]:
            self.ops.bias_gradient(dy, self.b.diff)
