"""BatchNorm and Scale, each alone or one behind the other, with the ReLU behind them, as one normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layerforge.engines.step import Refused


class NormLayers:
    """The layers of one normalisation.

    norm, scale   the layers, or None
    gamma, beta   the blobs of factors and offsets, or None
    wanted        whether these two get a gradient
    batch         the batch's statistics count, and are kept
    """

    def __init__(self, steps: Sequence[Any]) -> None:
        self.steps = list(steps)
        by_type = {step.layer.type: step.layer for step in steps}
        self.norm, self.scale = by_type.get("BatchNorm"), by_type.get("Scale")
        self.relu = "ReLU" in by_type
        self.bottom, self.top = steps[0].bottoms[0].blob, steps[-1].tops[0].blob
        self.channels = self.bottom.shape[1]
        self.batch = self.norm is not None and not self.norm.kept_statistics
        owner = self.scale
        self.gamma = self.scale.s.blob if self.scale else None
        self.beta = self.scale.b.blob if self.scale and self.scale.b else None
        self.wanted = (owner.needs_gradient[0], owner.needs_gradient[-1]) if owner else (False, False)
        if self.norm and self.norm.params.scale_bias:
            if self.scale:
                raise Refused("two factors per channel")
            self.gamma, self.beta = self.norm.gamma.blob, self.norm.beta.blob
            self.wanted = tuple(self.norm.needs_gradient[3:])
        if self.norm and not self.norm.params.add_eps_before_sqrt:
            raise Refused("eps is added to the standard deviation")
