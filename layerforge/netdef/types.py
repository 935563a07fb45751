"""The values a prototxt becomes. Frozen: passes make new ones."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Phase(enum.IntEnum):
    """Caffe's numbers."""

    TRAIN = 0
    TEST = 1


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a text: `str(where)` is "file:line"."""

    file: str
    line: int
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Field(NamedTuple):
    """One value of a prototxt and the place it stands at (None when it came from binary or from a pass).

    value  int, float, bool, str (also enum names), bytes; a Mapping[str, Field] for a message;
           a tuple of Field for a repeated field
    """

    value: Any
    where: Where | None = None


Fields = Mapping[str, Field]
"""The set fields of one message, by name."""


@dataclass(frozen=True, slots=True)
class StateRule:
    """One include or exclude rule; None and () do not restrict."""

    phase: Phase | None = None
    min_level: int | None = None
    max_level: int | None = None
    stages: tuple[str, ...] = ()
    not_stages: tuple[str, ...] = ()
    where: Where | None = None


@dataclass(frozen=True, slots=True)
class NetState:
    """What the rules are held against."""

    phase: Phase = Phase.TEST
    level: int = 0
    stages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """`param { ... }` of a layer: one per parameter blob. None: not said (Caffe's default is 1)."""

    name: str = ""
    share_mode: str = "STRICT"  # or PERMISSIVE: only counts must agree
    lr_mult: float | None = None
    decay_mult: float | None = None
    where: Where | None = None


@dataclass(frozen=True, slots=True)
class LayerDef:
    """One layer as the text says it.

    params  the layer's own messages: {"convolution_param": Field({...}), "loss_param": ...}
    places  where "name", "type", "bottom[0]", "top[1]", "propagate_down[0]", ... stand, as far as known
    """

    name: str
    type: str
    bottoms: tuple[str, ...] = ()
    tops: tuple[str, ...] = ()
    include: tuple[StateRule, ...] = ()
    exclude: tuple[StateRule, ...] = ()
    param: tuple[ParamSpec, ...] = ()
    loss_weight: tuple[float, ...] = ()
    propagate_down: tuple[bool, ...] = ()
    phase: Phase | None = None
    params: Fields = field(default_factory=dict)
    where: Where | None = None
    places: Mapping[str, Where] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"layer {self.name!r} ({self.type})"

    def place(self, what: str) -> Where | None:
        """Where `what` stands, else where the layer starts."""
        return self.places.get(what, self.where)


@dataclass(frozen=True, slots=True)
class NetDef:
    """A net as the text says it, layers in the order of the text.

    file  the text's path; relative names in the net resolve against the working folder, then against its folder
    """

    name: str = ""
    layers: tuple[LayerDef, ...] = ()
    state: NetState = NetState()
    force_backward: bool = False
    debug_info: bool = False
    compute_type: str = ""
    file: str = ""
    where: Where | None = None


@dataclass(frozen=True, slots=True)
class SolverDef:
    """A solver as the text says it: every set field of SolverParameter.

    fields  scalars and messages as Field; `net_param`, `train_net_param` hold a NetDef, `test_net_param` a tuple of
            Fields with NetDefs
    file    the text's path
    """

    fields: Fields
    file: str = ""
    where: Where | None = None
