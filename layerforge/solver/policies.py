"""Learning-rate policies by name. A policy is a formula in the iteration; a few also remember what has happened."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from layerforge.core.errors import NetError, PrototxtError, did_you_mean
from layerforge.core.extensions import load_extensions
from layerforge.solver.params import SolverParams


class Policy:
    """rate(iteration) is the learning rate; asking for it changes nothing. `advance` runs once per update, before it.

    Class attributes
      name    the lr_policy of a solver text
      needs   fields that must be above 0
      reads_loss  whether `advance` looks at the loss

    Attributes
      current_step    how many steps were taken, as Caffe's state files keep it
    """

    name: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    reads_loss: ClassVar[bool] = True  # of those that have an `advance`

    def __init__(self, params: SolverParams) -> None:
        self.params, self.current_step = params, 0
        if params.gamma < 0:
            params.refuse("gamma", f"gamma: {params.gamma:g}, must be at least 0 with lr_policy: {self.name!r}")
        for name in self.needs:
            value = getattr(params, name)
            if not value or (not isinstance(value, tuple) and value < 0):
                params.refuse(name, f"lr_policy: {self.name!r} needs {name}")

    def rate(self, iteration: int) -> float:
        """The learning rate of this iteration."""
        raise NotImplementedError

    def advance(self, iteration: int, loss: float) -> str | None:
        """Takes note of an iteration and its displayed loss; a line for the log if something changed."""
        return None

    def state(self) -> dict[str, Any]:
        """What a snapshot keeps beside current_step."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes back to a saved state."""


P = TypeVar("P", bound=type[Policy])
POLICIES: dict[str, type[Policy]] = {}


def register(policy: P) -> P:
    """Adds a policy under its `name`; usable as a decorator, also by plugins.

    Raises NetError when the name is missing or taken by another class.
    """
    if not policy.name:
        raise NetError(f"{policy.__name__} names no lr_policy",
                       hint=f'write name = "{policy.__name__.lower()}" in the class')
    if POLICIES.get(policy.name, policy).__qualname__ != policy.__qualname__:
        raise NetError(f"the lr_policy {policy.name!r} is taken by {POLICIES[policy.name].__qualname__}")
    POLICIES[policy.name] = policy
    return policy


def make_policy(params: SolverParams) -> Policy:
    """The policy that lr_policy names, behind the warm-up if there is one.

    Raises PrototxtError for an unknown name (with the nearest), or missing fields.
    """
    if params.lr_policy not in POLICIES:
        load_extensions()
    if params.lr_policy not in POLICIES:
        problem = f"there is no lr_policy {params.lr_policy!r}" if params.lr_policy else "lr_policy is missing"
        raise PrototxtError(f"solver: {problem}", where=params.where("lr_policy"),
                            hint=did_you_mean(params.lr_policy, POLICIES) or f"the policies are {', '.join(POLICIES)}")
    return POLICIES[params.lr_policy](params)


def looks_at_loss(policy: Policy) -> bool:
    """Whether the rate depends on the loss."""
    return policy.reads_loss and type(policy).advance is not Policy.advance


def learning_rate(policy: Policy, iteration: int) -> float:
    """Linear warm-up, then the policy:

        warmup_start_lr + (base_lr - warmup_start_lr) · iteration / warmup_iter      while iteration < warmup_iter
        rampup_lr + (base_lr - rampup_lr) · (iteration / rampup_interval)²           while iteration < rampup_interval
        max(policy.rate(iteration), min_lr)                                          from then on
    """
    p = policy.params
    if iteration < p.warmup_iter:
        return p.warmup_start_lr + (p.base_lr - p.warmup_start_lr) * iteration / p.warmup_iter
    if iteration < p.rampup_interval:
        return p.rampup_lr + (p.base_lr - p.rampup_lr) * (iteration / p.rampup_interval) ** 2
    return max(policy.rate(iteration), p.min_lr)


def momentum(params: SolverParams, iteration: int, rate: float) -> float:
    """momentum, or as NVCaffe changes it: with momentum_policy

        poly   momentum + (max_momentum - momentum) · (iteration / max_iter)^momentum_power
        opt    (1 - ½ √rate)², at most max_momentum if that is set
    """
    p = params
    if p.momentum_policy == "poly":
        return p.momentum + (p.max_momentum - p.momentum) * power(iteration / p.max_iter, p.momentum_power)
    if p.momentum_policy == "opt":
        best = (1 - math.sqrt(rate) / 2) ** 2
        return min(best, p.max_momentum) if p.has("max_momentum") else best
    return p.momentum


def weight_decay(params: SolverParams, iteration: int) -> float:
    """weight_decay, or with weight_decay_policy: poly on its way to max_weight_decay, as momentum goes with poly."""
    p = params
    if p.weight_decay_policy == "poly":
        share = power(iteration / p.max_iter, p.weight_decay_power)
        return p.weight_decay + (p.max_weight_decay - p.weight_decay) * share
    return p.weight_decay


def power(base: float, exponent: float) -> float:
    """base^exponent with infinity in place of an OverflowError or a division by zero."""
    try:
        return float(base**exponent)
    except (OverflowError, ZeroDivisionError):
        return math.inf


@register
class Fixed(Policy):
    """base_lr"""

    name = "fixed"

    def rate(self, iteration: int) -> float:
        return self.params.base_lr


@register
class StepPolicy(Policy):
    """base_lr · gamma^⌊iteration / stepsize⌋"""

    name, needs, reads_loss = "step", ("stepsize",), False

    def rate(self, iteration: int) -> float:
        return self.params.base_lr * power(self.params.gamma, iteration // self.params.stepsize)

    def advance(self, iteration: int, loss: float) -> str | None:
        self.current_step = iteration // self.params.stepsize
        return None


@register
class Exp(Policy):
    """base_lr · gamma^iteration"""

    name = "exp"

    def rate(self, iteration: int) -> float:
        return self.params.base_lr * power(self.params.gamma, iteration)


@register
class Inv(Policy):
    """base_lr · (1 + gamma · iteration)^-power"""

    name = "inv"

    def rate(self, iteration: int) -> float:
        return self.params.base_lr * power(1 + self.params.gamma * iteration, -self.params.power)


@register
class MultiStep(Policy):
    """base_lr · gamma^(how many stepvalues were reached)

    At most one step is taken per iteration, so that equal stepvalues take effect one iteration apart, as in Caffe.
    """

    name, reads_loss = "multistep", False

    def __init__(self, params: SolverParams) -> None:
        super().__init__(params)
        self.advanced_at = -1

    def _step(self, iteration: int) -> int:
        """The step that this iteration runs at."""
        values = self.params.stepvalue
        if self.current_step == len(values) or iteration == self.advanced_at:
            return self.current_step
        return self.current_step + (iteration >= values[self.current_step])

    def rate(self, iteration: int) -> float:
        return self.params.base_lr * power(self.params.gamma, self._step(iteration))

    def advance(self, iteration: int, loss: float) -> str | None:
        before, self.current_step = self.current_step, self._step(iteration)
        self.advanced_at = iteration
        if self.current_step == before:
            return None
        return f"MultiStep Status: Iteration {iteration}, step = {self.current_step}"


@register
class Poly(Policy):
    """min_lr + (base_lr - min_lr) · (1 - iteration / max_iter)^power"""

    name, needs = "poly", ("max_iter",)

    def rate(self, iteration: int) -> float:
        p = self.params
        left = max(1 - iteration / p.max_iter, 0.0)
        return p.min_lr + (p.base_lr - p.min_lr) * power(left, p.power)


@register
class Sigmoid(Policy):
    """base_lr / (1 + e^(-gamma · (iteration - stepsize)))      it rises, since gamma is at least 0"""

    name, needs = "sigmoid", ("stepsize",)

    def rate(self, iteration: int) -> float:
        p = self.params
        return p.base_lr * (1 + math.tanh(p.gamma * (iteration - p.stepsize) / 2)) / 2  # the same, without overflow


@register
class Cosine(Policy):
    """min_lr + ½ (base_lr - min_lr) · (1 + cos(π · t))

    with t = (iteration - w) / (max_iter - w) and w = warmup_iter or rampup_interval

    Source: Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, without restarts
    """

    name, needs = "cosine", ("max_iter",)

    def rate(self, iteration: int) -> float:
        p = self.params
        warmup = max(p.warmup_iter, p.rampup_interval)
        t = (iteration - warmup) / max(p.max_iter - warmup, 1)
        return p.min_lr + (p.base_lr - p.min_lr) * (1 + math.cos(math.pi * min(max(t, 0.0), 1.0))) / 2


@register
class Plateau(Policy):
    """base_lr · gamma^(how many plateaus were met)

    A plateau is plateau_winsize[k] iterations without a new lowest displayed loss, with k the plateaus met before.

    Source: SSD's sgd_solver.cpp
    """

    name, needs = "plateau", ("plateau_winsize",)

    def __init__(self, params: SolverParams) -> None:
        super().__init__(params)
        self.lowest, self.since = math.inf, 0

    def rate(self, iteration: int) -> float:
        return self.params.base_lr * power(self.params.gamma, self.current_step)

    def advance(self, iteration: int, loss: float) -> str | None:
        windows = self.params.plateau_winsize
        if loss < self.lowest:
            self.lowest, self.since = loss, iteration
        if self.current_step == len(windows) or iteration - self.since < windows[self.current_step]:
            return None
        self.current_step, self.since = self.current_step + 1, iteration
        return f"Plateau Status: Iteration {iteration}, step = {self.current_step}"

    def state(self) -> dict[str, Any]:
        return {"lowest": self.lowest if math.isfinite(self.lowest) else None, "since": self.since}

    def load_state(self, state: Mapping[str, Any]) -> None:
        lowest = state.get("lowest")
        self.lowest, self.since = math.inf if lowest is None else float(lowest), int(state.get("since", 0))
