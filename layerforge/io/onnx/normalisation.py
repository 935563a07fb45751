"""Normalisation: with kept statistics, and with those of the data themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerforge.io.onnx.graph import Builder, Call, converts


def kept_statistics(call: Call) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """μ, σ², γ, β and eps of a BatchNorm or BN with kept statistics, such that y = γ (x - μ) / √(σ² + eps) + β."""
    p, blobs = call.params, [blob.reshape(-1) for blob in call.blobs]
    if call.layer.type == "BN":
        gamma, beta, mean, variance = blobs
        return mean, variance, gamma, beta, p.eps
    weight = np.float32(0 if blobs[2][0] == 0 else 1 / blobs[2][0])
    mean, variance, eps = blobs[0] * weight, blobs[1] * weight, p.eps
    if not p.add_eps_before_sqrt:  # √σ² + eps for √(σ² + eps)
        variance, eps = (np.sqrt(variance) + np.float32(eps)) ** 2, 0.0
    gamma, beta = blobs[3:] if len(blobs) > 3 else (np.ones_like(mean), np.zeros_like(mean))
    return mean, variance, gamma, beta, eps


@converts("BatchNorm")
def batch_norm(g: Builder, call: Call) -> list[str]:
    if call.layer.kept_statistics:
        return [with_statistics(g, call.x[0], *kept_statistics(call))]
    axes = [0, *range(2, len(call.bottoms[0]))]
    y = standardized(g, call.x[0], axes, call.params.eps, call.params.add_eps_before_sqrt)
    return [_factor_and_offset(g, call, y, call.blobs[3:])]


@converts("BN")
def bn(g: Builder, call: Call) -> list[str]:
    if call.layer.kept_statistics:
        return [with_statistics(g, call.x[0], *kept_statistics(call))]
    if call.layer.inference:
        return [_factor_and_offset(g, call, call.x[0], call.blobs[:2])]
    axes = [0, *range(2, len(call.bottoms[0]))]
    y = standardized(g, call.x[0], axes, call.params.eps if call.layer.pspnet else 1e-9, True)
    return [_factor_and_offset(g, call, y, call.blobs[:2])]


def with_statistics(
    g: Builder, x: str, mean: np.ndarray, variance: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float
) -> str:
    """BatchNormalization."""
    named = (("scale", gamma), ("offset", beta), ("mean", mean), ("variance", variance))
    return g.node("BatchNormalization", x, *(g.weight(name, values) for name, values in named), epsilon=eps)


def standardized(g: Builder, x: str, axes: Sequence[int], eps: float, eps_inside: bool) -> str:
    """(x - μ) / √(σ² + eps), or / (σ + eps), with μ and σ over the axes."""
    centred = g.node("Sub", x, g.reduce("ReduceMean", x, axes))
    variance = g.reduce("ReduceMean", g.node("Mul", centred, centred), axes)
    if eps_inside:
        return g.node("Div", centred, g.node("Sqrt", g.scaled(variance, shift=eps)))
    return g.node("Div", centred, g.scaled(g.node("Sqrt", variance), shift=eps))


def _factor_and_offset(g: Builder, call: Call, x: str, blobs: Sequence[np.ndarray]) -> str:
    wide = (-1, *(1,) * (len(call.bottoms[0]) - 2))  # (C, 1, ...)
    for i, (op, blob) in enumerate(zip(("Mul", "Add"), blobs)):
        x = g.node(op, x, g.weight(f"factor{i}", blob.reshape(wide)))
    return x


@converts("MVN")
def mvn(g: Builder, call: Call) -> list[str]:
    p, shape = call.params, call.bottoms[0]
    x = g.unsqueeze(call.x[0], range(len(shape), 4))
    axes = [1, 2, 3] if p.across_channels else [2, 3]
    if p.normalize_variance:
        return [standardized(g, x, axes, p.eps, p.add_eps_before_sqrt)]
    return [g.node("Sub", x, g.reduce("ReduceMean", x, axes))]


@converts("LayerNorm")
def layer_norm(g: Builder, call: Call) -> list[str]:
    y = standardized(g, call.x[0], list(range(1, len(call.bottoms[0]))), call.params.eps, True)
    for i, (op, blob) in enumerate(zip(("Mul", "Add"), call.blobs)):
        y = g.node(op, y, g.weight(str(i), blob))
    return [y]


@converts("Normalize")
def normalize(g: Builder, call: Call) -> list[str]:
    p, (x,), rank = call.params, call.x, len(call.bottoms[0])
    squares = g.reduce("ReduceSumSquare", x, list(range(1, rank)) if p.across_spatial else [1])
    if p.add_eps_before_sqrt:
        norm = g.node("Sqrt", g.scaled(squares, shift=p.eps))
    else:
        norm = g.scaled(g.node("Sqrt", squares), shift=p.eps)
    scale = call.blobs[0].reshape(-1, *(1,) * (rank - 2))  # (C, 1, ...)
    return [g.node("Mul", g.node("Div", x, norm), g.weight("0", scale))]


@converts("LpNormalization")
def lp_normalization(g: Builder, call: Call) -> list[str]:
    op = "ReduceL2" if call.params.p == 2 else "ReduceL1"
    return [g.node("Div", call.x[0], g.reduce(op, call.x[0], list(call.layer.axes)))]
