"""The gradient checker: backward against central differences of forward, in float64.

With random weights g, L(x) = Σ g · forward(x); backward(g) must be ∂L/∂x ≈ (L(x + h) - L(x - h)) / 2h.
Source: the idea of Caffe's test_gradient_check_util.hpp; here all outputs are checked at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layerforge.core.storage import HOST
from layerforge.layers.base import Layer
from layerforge.testing.harness import Rig


def check_gradient(
    layer: type[Layer],
    case: Mapping[str, Any] | None,
    inputs: Sequence[np.ndarray],
    *,
    parameters: Sequence[np.ndarray] | None = None,
    points: int = 24,
    step: float = 1e-5,
    tolerance: float = 1e-5,
    seed: int = 0,
    check_bottoms: Sequence[int] | None = None,
    **rig: Any,
) -> None:
    """Checks the gradients of every bottom and parameter at up to `points` random places each.

    parameters     values for the layer's parameters; None: random ones are drawn where the filler gives a constant
    tolerance      allowed |analytic - numeric| relative to max(1, |numeric|) times the size of the largest gradient

    Raises AssertionError naming the bottom or parameter, the index and both values.
    """
    rng = np.random.default_rng(seed)
    inputs = [np.array(x, np.float64, order="C") for x in inputs]
    made = Rig(layer, case, inputs, dtype=np.float64, **rig)
    _set_parameters(made, parameters, rng)
    frozen = [p.copy() for p in made.parameters()]
    draws = {name: stream.draws for name, stream in made.layer.rng._root._streams.items()}

    def run() -> list[np.ndarray]:
        for name, count in draws.items():  # the same random draws at every point
            made.layer.rng.stream_of(name).draws = count
        if made.layer.updates_blobs:
            for now, start in zip(made.parameters(), frozen):
                now[...] = start
        for view in made.layer.blobs:
            view.blob.data.wrote(HOST)  # the host's arrays were changed in place; a device has its own
        return made.forward(inputs)

    weights = [rng.standard_normal(y.shape) for y in run()]
    if layer.loss:
        weights[1:] = [np.zeros_like(w) for w in weights[1:]]  # further tops of a loss carry no gradient
    grads = made.backward(weights)
    checked = range(len(inputs)) if check_bottoms is None else check_bottoms
    targets = [(f"bottom[{i}]", inputs[i], grads[i]) for i in checked if i not in made.layer.no_gradient]
    perturbed = frozen if made.layer.updates_blobs else made.parameters()
    learned = [i for i in range(len(perturbed)) if i not in made.layer.fixed]
    targets += [(f"blobs[{i}]", perturbed[i], made.gradients()[i]) for i in learned]
    assert targets, f"{layer.type}: nothing to check"

    def objective() -> float:
        return float(sum((w * y).sum() for w, y in zip(weights, run())))

    for what, values, analytic in targets:
        flat, scale = values.reshape(-1), max(1e-3, float(np.abs(analytic).max(initial=0)))
        for k in rng.permutation(flat.size)[:points]:
            start = flat[k]
            flat[k] = start + step
            high = objective()
            flat[k] = start - step
            low = objective()
            flat[k] = start
            numeric, got = (high - low) / (2 * step), analytic.reshape(-1)[k]
            assert abs(got - numeric) <= tolerance * max(scale, abs(numeric), 1.0), (
                f"{layer.type} {dict(case or {})}: {what}[{np.unravel_index(k, values.shape)}]: "
                f"backward gives {got:.8g}, differences give {numeric:.8g}"
            )


def _set_parameters(made: Rig, parameters: Sequence[np.ndarray] | None, rng: np.random.Generator) -> None:
    for i, p in enumerate(made.parameters()):
        if parameters is not None:
            p[...] = parameters[i]
        elif i not in made.layer.fixed:
            p[...] = rng.standard_normal(p.shape) * 0.5
