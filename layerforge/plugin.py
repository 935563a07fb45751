"""What a file with layers, rules, fillers, policies or data sources of one's own imports.

    from layerforge.plugin import Layer, Params, field

    class Swish2Params(Params):
        beta: float = field(float, 1.0, doc="how steep the gate is")

    class Swish2(Layer):
        type, Params = "Swish2", Swish2Params
        differentiate = True                     # reshape and backward follow from forward

        def forward(self, bottom, top):
            x = bottom[0].data
            top[0].data[...] = x / (1 + self.xp.exp(-self.params.beta * x))

Such a file is loaded by `--plugins my_layers.py`, by `plugins: "my_layers.py"` in a solver, by `load("my_layers.py")`,
or as the entry point `layerforge.layers` of a package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from layerforge.data.items import Items
from layerforge.data.source import Batch, Position, Source
from layerforge.layers import base, fillers, registry
from layerforge.layers.fillers import FillerParams
from layerforge.layers.sources import SourceLayer
from layerforge.layers.user_layer import Layer
from layerforge.netdef.params import Params, field
from layerforge.solver import policies, rules
from layerforge.solver.plugins import load_plugins
from layerforge.solver.policies import Policy
from layerforge.solver.rules import Rule, Step

__all__ = ["Batch", "FillerParams", "Items", "Layer", "Params", "Policy", "Position", "Rule", "Source", "SourceLayer",
           "Step", "field", "load", "register"]

T = TypeVar("T", bound="type[Any] | Callable[..., Any]")


def register(thing: T) -> T:
    """Adds a layer class, a solver rule, a learning-rate policy, or a filler (a function); usable as a decorator.

    Raises NetError when its name is taken, TypeError for anything else.
    """
    if isinstance(thing, type):
        for kind, add in ((base.Layer, registry.register), (Rule, rules.register), (Policy, policies.register)):
            if issubclass(thing, kind):
                return add(thing)  # type: ignore[operator, no-any-return]
        raise TypeError(f"{thing.__name__} is no Layer, Rule or Policy")
    return fillers.register(thing)  # type: ignore[return-value]


def load(*names: str) -> None:
    """Loads files (names ending in .py) or modules with layers and the like.

    Raises DataError when one is missing.
    """
    load_plugins(names)
