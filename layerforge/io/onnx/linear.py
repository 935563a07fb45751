"""Products of matrices, tables, and sums over axes."""

from __future__ import annotations

import math

import numpy as np

from layerforge.io.onnx.graph import Builder, Call, converts


@converts("InnerProduct")
def inner_product(g: Builder, call: Call) -> list[str]:
    """Gemm on rows: (*outer, *inner) → (M, K) → (M, O) → (*outer, O)"""
    p, layer, shape, top = call.params, call.layer, call.bottoms[0], call.tops[0]
    x = call.x[0]
    if not (len(shape) == 2 and layer.first == 1):
        x = g.node("Flatten", x, axis=layer.first)
    weights = [g.weight(str(i), blob) for i, blob in enumerate(call.blobs)]
    y = g.node("Gemm", x, *weights, transB=0 if p.transpose else 1)
    return [y if layer.first == 1 else g.reshape(y, top)]


@converts("MatMul")
def matmul(g: Builder, call: Call) -> list[str]:
    xs = []
    for x, shape, transposed in zip(call.x, call.bottoms, (call.params.transpose_a, call.params.transpose_b)):
        order = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
        xs.append(g.node("Transpose", x, perm=order) if transposed else x)
    return [g.node("MatMul", *xs)]


@converts("Gemm")
def gemm(g: Builder, call: Call) -> list[str]:
    p = call.params
    return [g.node("Gemm", *call.x, alpha=p.alpha, beta=p.beta, transA=int(p.transA), transB=int(p.transB))]


@converts("Embed")
def embed(g: Builder, call: Call) -> list[str]:
    rows = g.node("Gather", g.weight("0", call.blobs[0]), g.whole(call.x[0]), axis=0)
    return [g.node("Add", rows, g.weight("1", call.blobs[1])) if len(call.blobs) > 1 else rows]


@converts("Softmax", "LogSoftmax")
def softmax(g: Builder, call: Call) -> list[str]:
    return [g.node(call.layer.type, call.x[0], axis=call.layer.axis(call.params.axis, len(call.bottoms[0])))]


@converts("Reduction")
def reduction(g: Builder, call: Call) -> list[str]:
    p, shape = call.params, call.bottoms[0]
    axes = list(range(call.layer.axis(p.axis, len(shape)) if shape else 0, len(shape)))
    op = {"SUM": "ReduceSum", "ASUM": "ReduceL1", "SUMSQ": "ReduceSumSquare", "MEAN": "ReduceMean"}[p.operation]
    y = g.reduce(op, call.x[0], axes, keepdims=False) if axes else call.x[0]
    return [g.scaled(y, p.coeff)]


@converts("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSumExp",
          "CountNonzero")
def axis_reduction(g: Builder, call: Call) -> list[str]:
    layer, (x,) = call.layer, call.x
    op = layer.type
    if op == "CountNonzero":
        x, op = g.real(g.node("Not", g.node("Equal", x, g.const(0.0)))), "ReduceSum"
    return [g.reduce(op, x, layer.axes, keepdims=bool(call.params.keepdims))]


@converts("ArgMax")
def arg_max(g: Builder, call: Call) -> list[str]:
    """TopK of the reversed axis, so that of equal values the later one comes first."""
    p, layer, shape, top = call.params, call.layer, call.bottoms[0], call.tops[0]
    (x,), axis = call.x, layer.axis(p.axis, len(shape)) if layer.by_axis else 1
    if not layer.by_axis:
        x, shape = g.node("Flatten", x, axis=1), (shape[0], math.prod(shape[1:]))
    back = g.slice(x, [-1], [np.iinfo(np.int64).min], [axis], [-1])
    values, places = g.several("TopK", [back, g.ints([p.top_k])], 2, axis=axis, largest=int(not p.min_first))
    index = g.real(g.node("Sub", g.ints([shape[axis] - 1]), places))
    if layer.by_axis:
        return [values if p.out_max_val else index]
    return [g.reshape(g.node("Concat", index, values, axis=1) if p.out_max_val else index, top)]
