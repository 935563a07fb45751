"""The contract between the plan and an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Refusal:
    """Why an engine does not run a layer: shown by `time --explain`, and the error where the text pins the engine."""

    engine: str
    reason: str


@dataclass(frozen=True)
class Kernel:
    """One call of an engine's library.

    run      "forward" or "backward"
    name     what it computes;  impl  the code that was chosen for it
    layouts  of its arguments, by name
    """

    run: str
    name: str
    impl: str
    layouts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Speeds:
    """What the machine reaches with the threads that work.

    flops   operations per second of large products, by type of their values: FP32, BF16
    nbytes  bytes read and written per second, of values that lie in memory
    """

    flops: Mapping[str, float]
    nbytes: float


class Engine(Protocol):
    """name      its word in the field `engine:` of a layer, such as ONEDNN
    backend   the backend it belongs to
    """

    name: str
    backend: str

    def lower(self, steps: Sequence[Any], index: int) -> Any | Refusal:
        """A Step that covers steps[index] and perhaps some that follow, or the reason why not."""
