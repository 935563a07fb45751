"""Functions of single values, and sums and products of blobs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from layerforge.io.onnx.graph import Builder, Call, Refused, converts

_SAME = {"Sigmoid": "Sigmoid", "TanH": "Tanh", "AbsVal": "Abs", "BNLL": "Softplus", "Softplus": "Softplus",
         "Softsign": "Softsign", "Sin": "Sin", "Atan": "Atan", "Ceil": "Ceil", "Floor": "Floor", "Round": "Round",
         "Add": "Add", "Sub": "Sub", "Mul": "Mul", "Div": "Div", "Maximum": "Max", "Minimum": "Min", "Pow": "Pow",
         "SpatialProduct": "Mul"}


def _plain(op: str) -> Callable[[Builder, Call], list[str]]:
    return lambda g, call: [g.node(op, *call.x)]


for _type, _op in _SAME.items():
    converts(_type)(_plain(_op))


@converts("ReLU")
def relu(g: Builder, call: Call) -> list[str]:
    p, y = call.params, call.x[0]
    y = g.node("LeakyRelu", y, alpha=p.negative_slope) if p.negative_slope else g.node("Relu", y)
    upper = [6.0] * p.relu6 + [p.maximum] * (p.maximum > 0)
    for limit in upper:
        y = g.node("Min", y, g.const(limit))
    return [g.node("Max", y, g.const(p.minimum)) if p.minimum else y]


@converts("ReLU6")
def relu6(g: Builder, call: Call) -> list[str]:
    return [_clip(g, call.x[0], 0.0, call.params.threshold)]


@converts("Clip")
def clip(g: Builder, call: Call) -> list[str]:
    return [_clip(g, call.x[0], call.params.min, call.params.max)]


@converts("HardTanH")
def hard_tanh(g: Builder, call: Call) -> list[str]:
    return [_clip(g, call.x[0], -1.0, 1.0)]


def _clip(g: Builder, x: str, low: float, high: float) -> str:
    return g.node("Clip", x, g.const(low), g.const(high))


@converts("PReLU")
def prelu(g: Builder, call: Call) -> list[str]:
    slope = call.blobs[0].reshape(-1, *(1,) * (len(call.bottoms[0]) - 2))  # (C, 1, ...)
    return [g.node("PRelu", call.x[0], g.weight("0", slope))]


@converts("ELU")
def elu(g: Builder, call: Call) -> list[str]:
    return [g.scaled(g.node("Elu", call.x[0], alpha=call.params.alpha), call.params.lambda_)]


@converts("SeLU")
def selu(g: Builder, call: Call) -> list[str]:
    return [g.node("Selu", call.x[0], alpha=call.params.alpha, gamma=call.params.lambda_)]


@converts("Swish")
def swish(g: Builder, call: Call) -> list[str]:
    (x,) = call.x
    return [g.node("Mul", x, g.node("Sigmoid", g.scaled(x, call.params.beta)))]


@converts("Mish")
def mish(g: Builder, call: Call) -> list[str]:
    (x,) = call.x
    return [g.node("Mul", x, g.node("Tanh", g.node("Softplus", x)))]


@converts("HardSigmoid")
def hard_sigmoid(g: Builder, call: Call) -> list[str]:
    return [g.node("HardSigmoid", call.x[0], alpha=call.params.alpha, beta=call.params.beta)]


@converts("HardSwish")
def hard_swish(g: Builder, call: Call) -> list[str]:
    (x,) = call.x
    return [g.node("Mul", x, g.node("HardSigmoid", x, alpha=1 / 6, beta=0.5))]


@converts("ThresholdedReLU")
def thresholded_relu(g: Builder, call: Call) -> list[str]:
    return [g.node("ThresholdedRelu", call.x[0], alpha=call.params.alpha)]


@converts("ScaledTanH")
def scaled_tanh(g: Builder, call: Call) -> list[str]:
    return [g.scaled(g.node("Tanh", g.scaled(call.x[0], call.params.beta)), call.params.alpha)]


@converts("Power")
def power(g: Builder, call: Call) -> list[str]:
    p, (x,) = call.params, call.x
    if p.power * p.scale == 0:
        value = 1.0 if p.power == 0 else float(np.float32(p.shift) ** np.float32(p.power))
        return [g.scaled(x, 0.0, value)]
    y = g.scaled(x, p.scale, p.shift)
    if p.power == 1:
        return [y]
    return [g.node("Mul", y, y) if p.power == 2 else g.node("Pow", y, g.const(p.power))]


@converts("Exp")
def exp(g: Builder, call: Call) -> list[str]:
    return [g.scaled(g.node("Exp", g.scaled(call.x[0], call.layer.inner)), call.layer.outer)]


@converts("Log")
def log(g: Builder, call: Call) -> list[str]:
    y = g.node("Log", g.scaled(call.x[0], call.params.scale, call.params.shift))
    return [g.scaled(y, 1 / call.layer.log_base)]


@converts("Threshold")
def threshold(g: Builder, call: Call) -> list[str]:
    return [g.real(g.node("Greater", call.x[0], g.const(call.params.threshold)))]


@converts("Dropout")
def dropout(g: Builder, call: Call) -> list[str]:
    """In TEST nothing, or a factor."""
    if call.layer.train:
        raise Refused("it drops values by chance in the TRAIN phase")
    return [g.scaled(call.x[0], call.layer.factor)]


@converts("FloorDiv")
def floor_div(g: Builder, call: Call) -> list[str]:
    return [g.node("Floor", g.node("Div", *call.x))]


@converts("FloorMod")
def floor_mod(g: Builder, call: Call) -> list[str]:
    a, b = call.x
    return [g.node("Sub", a, g.node("Mul", b, g.node("Floor", g.node("Div", a, b))))]


@converts("Eltwise")
def eltwise(g: Builder, call: Call) -> list[str]:
    """A chain of Add, Mul, Max or Min; bottoms with fewer axes get the missing ones."""
    p, layer, rank = call.params, call.layer, len(call.bottoms[0])
    xs = []
    for x, shape, first in zip(call.x, call.bottoms, layer.firsts):
        axes = [*range(first), *range(first + len(shape), rank)]
        xs.append(g.unsqueeze(x, axes) if len(shape) < rank else x)
    if p.operation == "SUM":
        xs = [g.scaled(x, c) for x, c in zip(xs, layer.coeff)]
    op = {"SUM": "Add", "PROD": "Mul", "MAX": "Max", "MIN": "Min", "DIV": "Div"}[p.operation]
    y = xs[0]
    for x in xs[1:]:
        y = g.node(op, y, x)
    return [y]


@converts("Axpy")
def axpy(g: Builder, call: Call) -> list[str]:
    a, x, y = call.x
    a = g.unsqueeze(a, range(len(call.bottoms[0]), len(call.bottoms[1])))
    return [g.node("Add", g.node("Mul", a, x), y)]


@converts("Scale", "Bias")
def affine(g: Builder, call: Call) -> list[str]:
    """Mul and Add with an operand that is learned or the second bottom."""
    layer, rank = call.layer, len(call.bottoms[0])
    two = len(call.x) == 2
    operand = call.bottoms[1] if two else call.blobs[0].shape
    behind = rank - (layer.axis(call.params.axis, rank) if operand else 0) - len(operand)

    def learned(i: int) -> str:
        return g.weight(str(i), call.blobs[i].reshape(*operand, *(1,) * behind))

    other = g.unsqueeze(call.x[1], range(len(operand), len(operand) + behind)) if two else learned(0)
    y = g.node("Mul" if layer.type == "Scale" else "Add", call.x[0], other)
    offset = 0 if two else 1
    return [g.node("Add", y, learned(offset)) if len(call.blobs) > offset else y]


@converts("LSTMUnit")
def lstm_unit(g: Builder, call: Call) -> list[str]:
    """One step of an LSTM: (1, N, D), (1, N, 4D), (1, N)."""
    before, gates, cont = call.x
    d = call.bottoms[0][2]
    i, f, o, c = g.several("Split", [gates, g.ints([d] * 4)], 4, axis=2)
    f = g.node("Mul", g.node("Sigmoid", f), g.unsqueeze(cont, [2]))
    cell = g.node("Add", g.node("Mul", f, before), g.node("Mul", g.node("Sigmoid", i), g.node("Tanh", c)))
    return [cell, g.node("Mul", g.node("Sigmoid", o), g.node("Tanh", cell))]
