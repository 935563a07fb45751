"""Update rules: how a parameter moves along its gradient. One pass over each parameter, in place."""

from collections.abc import Sequence
from typing import Any

Array = Any


class UpdateOps:
    """Each rule reads the gradient once, changes the parameter w and its history, and leaves in g what was subtracted.

    All arrays of one call have the same count. Before the rule every element of the gradient becomes

        g ← scale · g + l2 · w + l1 · sign(w)

    with scale = clipping factor / iter_size, and l2 or l1 = weight_decay · decay_mult (the other one is 0).
    """

    def sum_of_squares(self, arrays: Sequence[Array]) -> float:
        """Σ x² over all elements of all arrays, each read once."""
        raise NotImplementedError

    def update_sgd(
        self, w: Array, g: Array, h: Array, *, lr: float, momentum: float,
        scale: float = 1.0, l2: float = 0.0, l1: float = 0.0,
    ) -> None:
        """h ← momentum · h + lr · g;  w ← w - h"""
        raise NotImplementedError

    def update_lars(
        self, w: Array, g: Array, h: Array, *, lr: float, momentum: float, eta: float, clip: bool = False,
        scale: float = 1.0, l2: float = 0.0, l1: float = 0.0,
    ) -> None:
        """update_sgd with lr · r,  r = eta · ‖w‖ / (scale · ‖g‖ + l2 · ‖w‖), or 1 where either norm is 0

        clip: with min(lr, r). The norms are taken before anything moves.
        """
        raise NotImplementedError

    def update_nesterov(
        self, w: Array, g: Array, h: Array, *, lr: float, momentum: float,
        scale: float = 1.0, l2: float = 0.0, l1: float = 0.0,
    ) -> None:
        """h' = momentum · h + lr · g;  w ← w - ((1 + momentum) · h' - momentum · h);  h ← h'"""
        raise NotImplementedError

    def update_adagrad(
        self, w: Array, g: Array, h: Array, *, lr: float, delta: float,
        scale: float = 1.0, l2: float = 0.0, l1: float = 0.0,
    ) -> None:
        """h ← h + g²;  w ← w - lr · g / (√h + delta)"""
        raise NotImplementedError

    def update_rmsprop(
        self, w: Array, g: Array, h: Array, *, lr: float, decay: float, delta: float,
        scale: float = 1.0, l2: float = 0.0, l1: float = 0.0,
    ) -> None:
        """h ← decay · h + (1 - decay) · g²;  w ← w - lr · g / (√h + delta)"""
        raise NotImplementedError

    def update_adadelta(
        self, w: Array, g: Array, h: Array, u: Array, *, lr: float, decay: float, delta: float,
        scale: float = 1.0, l2: float = 0.0, l1: float = 0.0,
    ) -> None:
        """h ← decay · h + (1 - decay) · g²;  d = g · √((u + delta) / (h + delta));
        u ← decay · u + (1 - decay) · d²;  w ← w - lr · d"""
        raise NotImplementedError

    def update_adam(
        self, w: Array, g: Array, m: Array, v: Array, *, lr: float, correction: float, beta1: float, beta2: float,
        delta: float, decoupled: bool = False, scale: float = 1.0, l2: float = 0.0, l1: float = 0.0,
    ) -> None:
        """m ← beta1 · m + (1 - beta1) · g;  v ← beta2 · v + (1 - beta2) · g²
        w ← w - lr · correction · m / (√v + delta)

        decoupled: the decay stays out of g and joins the step:
        w ← w - lr · (correction · m / (√v + delta) + l2 · w + l1 · sign(w))
        """
        raise NotImplementedError
