"""Update rules by name: which kernel moves the parameters, and with which constants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from layerforge.core.errors import NetError, PrototxtError, did_you_mean
from layerforge.core.extensions import load_extensions
from layerforge.solver.params import SolverParams

Array = Any


@dataclass(frozen=True)
class Step:
    """What one parameter gets in one iteration.

    lr         learning rate · lr_mult
    iteration  counts from 0
    scale      clipping factor / iter_size, multiplies the gradient
    momentum   of this iteration
    l2, l1     weight_decay · decay_mult, one of them 0
    """

    lr: float
    iteration: int = 0
    momentum: float = 0.0
    scale: float = 1.0
    l2: float = 0.0
    l1: float = 0.0

    @property
    def decay(self) -> dict[str, float]:
        """What every kernel takes."""
        return {"scale": self.scale, "l2": self.l2, "l1": self.l1}


class Rule:
    """One update rule. g is the clipped, averaged, regularised gradient; h, u, m, v are histories in w's shape.

        @register
        class SignSGD(Rule):
            name, histories = "SignSGD", 0

            def update(self, ops, w, g, history, step):
                w -= step.lr * np.sign(self.regular(w, g, step))

    Class attributes
      name        the type in a solver text
      histories   how many arrays per parameter the rule keeps (and a snapshot saves)
    """

    name: ClassVar[str] = ""
    histories: ClassVar[int] = 1

    def __init__(self, params: SolverParams) -> None:
        self.params = params

    def update(self, ops: Any, w: Array, g: Array, history: Sequence[Array], step: Step) -> None:
        """Moves w and its history; g ends as what was subtracted."""
        raise NotImplementedError

    def regular(self, w: Array, g: Array, step: Step) -> Array:
        """g ← scale · g + l2 · w + l1 · sign(w), for rules written with arrays; ours leave it to their kernel."""
        g *= step.scale
        if step.l2:
            g += step.l2 * w
        if step.l1:
            g += step.l1 * ((w > 0).astype(w.dtype) - (w < 0).astype(w.dtype))
        return g


R = TypeVar("R", bound=type[Rule])
RULES: dict[str, type[Rule]] = {}


def register(rule: R) -> R:
    """Adds a rule under its `name`; usable as a decorator, also by plugins.

    Raises NetError when the name is missing or taken by another class.
    """
    if not rule.name:
        raise NetError(f"{rule.__name__} names no solver type", hint=f'write name = "{rule.__name__}" in the class')
    if RULES.get(rule.name, rule).__qualname__ != rule.__qualname__:
        raise NetError(f"the solver type {rule.name!r} is taken by {RULES[rule.name].__qualname__}")
    RULES[rule.name] = rule
    return rule


def make_rule(params: SolverParams) -> Rule:
    """The rule that the solver's `type` names.

    Raises PrototxtError for an unknown name (with the nearest), or constants that the rule refuses.
    """
    if params.type not in RULES:
        load_extensions()
    if params.type not in RULES:
        if params.type == "SAG":
            params.refuse("solver_type", "the type SAG is known from NVCaffe, not implemented", hint="use SGD")
        raise PrototxtError(f"solver: there is no type {params.type!r}", where=params.where("type"),
                            hint=did_you_mean(params.type, RULES) or f"the types are {', '.join(RULES)}")
    return RULES[params.type](params)


@register
class SGD(Rule):
    """h ← momentum · h + lr · g;  w ← w - h"""

    name = "SGD"

    def update(self, ops: Any, w: Array, g: Array, history: Sequence[Array], step: Step) -> None:
        ops.update_sgd(w, g, *history, lr=step.lr, momentum=step.momentum, **step.decay)


@register
class Nesterov(Rule):
    """h' = momentum · h + lr · g;  w ← w - ((1 + momentum) · h' - momentum · h)

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013
    """

    name = "Nesterov"

    def update(self, ops: Any, w: Array, g: Array, history: Sequence[Array], step: Step) -> None:
        ops.update_nesterov(w, g, *history, lr=step.lr, momentum=step.momentum, **step.decay)


@register
class AdaGrad(Rule):
    """h ← h + g²;  w ← w - lr · g / (√h + delta)

    Source: Duchi, Hazan, Singer, "Adaptive subgradient methods", 2011
    """

    name = "AdaGrad"

    def __init__(self, params: SolverParams) -> None:
        super().__init__(params)
        refuse_momentum(params)

    def update(self, ops: Any, w: Array, g: Array, history: Sequence[Array], step: Step) -> None:
        ops.update_adagrad(w, g, *history, lr=step.lr, delta=self.params.delta, **step.decay)


@register
class RMSProp(Rule):
    """h ← rms_decay · h + (1 - rms_decay) · g²;  w ← w - lr · g / (√h + delta)

    Source: Tieleman, Hinton, "Neural networks for machine learning", lecture 6.5, 2012
    """

    name = "RMSProp"

    def __init__(self, params: SolverParams) -> None:
        super().__init__(params)
        refuse_momentum(params)
        if not 0 <= params.rms_decay < 1:
            params.refuse("rms_decay", f"rms_decay: {params.rms_decay}, must be at least 0, below 1")

    def update(self, ops: Any, w: Array, g: Array, history: Sequence[Array], step: Step) -> None:
        p = self.params
        ops.update_rmsprop(w, g, *history, lr=step.lr, decay=p.rms_decay, delta=p.delta, **step.decay)


@register
class AdaDelta(Rule):
    """h ← ρ · h + (1 - ρ) · g²;  d = g · √((u + delta) / (h + delta));  u ← ρ · u + (1 - ρ) · d²;  w ← w - lr · d

    with ρ = momentum.

    Source: Zeiler, "ADADELTA: an adaptive learning rate method", 2012
    """

    name, histories = "AdaDelta", 2

    def update(self, ops: Any, w: Array, g: Array, history: Sequence[Array], step: Step) -> None:
        p = self.params
        ops.update_adadelta(w, g, *history, lr=step.lr, decay=step.momentum, delta=p.delta, **step.decay)


@register
class Adam(Rule):
    """m ← β₁ · m + (1 - β₁) · g;  v ← β₂ · v + (1 - β₂) · g²;  w ← w - lr · √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + delta)

    with β₁ = momentum, β₂ = momentum2, t = iteration + 1. Weight decay is part of g.

    Source: Kingma, Ba, "Adam: a method for stochastic optimization", 2015
    """

    name, histories = "Adam", 2
    decoupled: ClassVar[bool] = False

    def __init__(self, params: SolverParams) -> None:
        super().__init__(params)
        for name in ("momentum", "momentum2"):
            if not 0 <= getattr(params, name) < 1:
                params.refuse(name, f"{name}: {getattr(params, name)}, must be at least 0, below 1 with {self.name}")

    def update(self, ops: Any, w: Array, g: Array, history: Sequence[Array], step: Step) -> None:
        p, t = self.params, step.iteration + 1
        correction = math.sqrt(1 - p.momentum2**t) / (1 - step.momentum**t)
        ops.update_adam(w, g, *history, lr=step.lr, correction=correction, beta1=step.momentum, beta2=p.momentum2,
                        delta=p.delta, decoupled=self.decoupled, **step.decay)


@register
class AdamW(Adam):
    """Adam with the decay beside the step: w ← w - lr · (√(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + delta) + weight_decay · w)

    Source: Loshchilov, Hutter, "Decoupled weight decay regularization", 2019
    """

    name, decoupled = "AdamW", True


@register
class LARS(Rule):
    """h ← momentum · h + lr · r · g;  w ← w - h,   r = larc_eta · ‖w‖ / (‖g₀‖ + weight_decay · ‖w‖)

    with g₀ the gradient before the decay. r is 1 where either norm is 0. With larc_policy: "clip"
    the rate is min(lr, r).

    Source: You, Gitman, Ginsburg, "Large batch training of convolutional networks", 2017
    """

    name = "LARS"

    def update(self, ops: Any, w: Array, g: Array, history: Sequence[Array], step: Step) -> None:
        p = self.params
        ops.update_lars(w, g, *history, lr=step.lr, momentum=step.momentum, eta=p.larc_eta,
                        clip=p.larc_policy == "clip", **step.decay)


def refuse_momentum(params: SolverParams) -> None:
    """AdaGrad and RMSProp have none, as in Caffe."""
    if params.momentum:
        params.refuse("momentum", f"momentum: {params.momentum}, {params.type} takes none", hint="remove the line")
