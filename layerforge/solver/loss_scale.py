"""Loss scale: what the loss's gradient is multiplied with, so that gradients in 16 bits neither vanish nor overflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FIRST, LEAST, MOST = 2.0**16, 1.0, 2.0**24
PATIENCE = 2000  # good iterations before it doubles


class LossScale:
    """scale ← scale / 2 after an overflow, 2 · scale after PATIENCE good iterations, within LEAST … MOST

    An iteration whose gradients are not finite is an overflow: it moves nothing. Gradients are divided by the scale
    when parameters move. On a device that judges its iterations itself, the kernel `judge` does the same arithmetic.

    active   whether there is one: FP16 alone needs it
    dynamic  whether it adapts; else it stays what the text says
    value    the scale; 1 where there is none
    good     iterations without overflow since it last changed
    """

    def __init__(self, compute_type: str, fixed: float = 0.0) -> None:
        """fixed: the solver's loss_scale, 0 for one that adapts."""
        self.active = compute_type == "FP16"
        self.dynamic = self.active and not fixed
        self.value = (fixed or FIRST) if self.active else 1.0
        self.good = 0

    @property
    def patience(self) -> int:
        """As the kernel `judge` wants it: 0 for a fixed scale, below 0 for none."""
        return PATIENCE if self.dynamic else 0 if self.active else -1

    def advance(self, overflowed: bool) -> None:
        """After an iteration."""
        if not self.dynamic:
            return
        self.good = 0 if overflowed else self.good + 1
        if overflowed:
            self.value = max(self.value / 2, LEAST)
        elif self.good >= PATIENCE:
            self.value, self.good = min(2 * self.value, MOST), 0

    def state(self) -> list[float]:
        """For a snapshot; nothing where there is no scale."""
        return [self.value, self.good] if self.active else []

    def load_state(self, state: Any) -> None:
        """Back to a snapshot's; one that the text fixes stays."""
        value, good = float(state[0]), int(state[1])
        if not value > 0 or good < 0:
            raise ValueError(f"a loss scale of {value:g} after {good} good iterations")
        if self.dynamic:
            self.value, self.good = min(max(value, LEAST), MOST), good

    def said(self) -> str:
        """The line about an overflow, once `advance` has seen it."""
        now = f"the loss scale is now {self.value:g}" if self.dynamic else f"the loss scale stays {self.value:g}"
        return f"Gradients overflowed: nothing moves in this iteration, {now}"


def restored(scale: LossScale, state: Mapping[str, Any]) -> None:
    """Takes the scale of a saved run; runs of other types, and those saved before there was one, have none."""
    if state.get("loss_scale"):
        scale.load_state(state["loss_scale"])
