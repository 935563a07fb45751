"""Fully connected layers."""

from __future__ import annotations

import math

from layerforge.layers.base import Layer
from layerforge.layers.fillers import FillerParams
from layerforge.netdef.params import Params, field


class InnerProductParams(Params, message="inner_product_param"):
    num_output: int = field(int, required=True, at_least=1, doc="the number of outputs")
    bias_term: bool = field(bool, True, doc="adds a learned offset to each output")
    weight_filler: FillerParams = field(FillerParams, FillerParams(), doc="how W starts")
    bias_filler: FillerParams = field(FillerParams, FillerParams(), doc="how b starts")
    axis: int = field(int, 1, doc="the first axis that is summed over; the axes before it stay")
    transpose: bool = field(bool, False, doc="stores W as (K, num_output)")


class InnerProduct(Layer):
    """y[m] = W x[m] + b      over the axes from `axis` on, flattened to K

    bottom[0]  x (*outer, *inner)      K = product of inner
    top[0]     y (*outer, num_output)
    blobs      W (num_output, K), or (K, num_output) with transpose; b (num_output,) when bias_term

    Source: Caffe's inner_product_layer.cpp
    """

    type, Params = "InnerProduct", InnerProductParams
    in_place = False

    def setup(self, bottom, top):
        p, shape = self.params, bottom[0].shape
        self.first = self.axis(p.axis, len(shape))
        self.k = math.prod(shape[self.first:])
        self.W = self.add_blob((self.k, p.num_output) if p.transpose else (p.num_output, self.k), p.weight_filler)
        self.b = self.add_blob((p.num_output,), p.bias_filler) if p.bias_term else None

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        k = math.prod(shape[self.first:])
        self.require(k == self.k, f"bottom[0] has {k} values per row, W was made for {self.k}",
                     hint="an InnerProduct fixes its input size; use a Convolution for inputs of varying size")
        top[0].reshape(*shape[: self.first], self.params.num_output)
        self.m = math.prod(shape[: self.first])

    def forward(self, bottom, top):
        y = top[0].data.reshape(self.m, self.params.num_output)  # (M, O)
        self.ops.matmul(bottom[0].data.reshape(self.m, self.k), self.W.data, trans_b=not self.params.transpose, out=y)
        if self.b:
            self.ops.add_bias(y, self.b.data)

    def backward(self, top, propagate_down, bottom):
        dy = top[0].diff.reshape(self.m, self.params.num_output)  # (M, O)
        if self.needs_gradient[0]:
            x = bottom[0].data.reshape(self.m, self.k)
            first, second = (x, dy) if self.params.transpose else (dy, x)
            self.ops.matmul(first, second, trans_a=True, acc=self.W.diff)
        if self.b and self.needs_gradient[1]:
            self.ops.bias_gradient(dy, self.b.diff)
        if propagate_down[0]:
            dx = bottom[0].diff.reshape(self.m, self.k)
            self.ops.matmul(dy, self.W.data, trans_b=self.params.transpose, out=dx)
