"""The process-wide settings of pycaffe. They live in the facade alone."""

from __future__ import annotations

from typing import Any

from layerforge.backends import get_backend
from layerforge.core.random import Random
from layerforge.layers.registry import layer_types
from layerforge.netdef.types import Phase

TRAIN, TEST = Phase.TRAIN, Phase.TEST


class _Modes:
    """mode, device and seed as the last call left them."""

    backend_name = "numpy"
    device = 0
    random: Random | None = None
    made = 0  # nets since the seed was set


def set_mode_cpu() -> None:
    """Nets made from now on run on the processor."""
    _Modes.backend_name = "numpy"


def set_mode_gpu() -> None:
    """Nets made from now on run on the GPU of `set_device`."""
    _Modes.backend_name = "cupy"


def set_device(device: int) -> None:
    """Chooses the GPU by its number."""
    _Modes.device = int(device)


def set_random_seed(seed: int) -> None:
    """Nets made from now on fill and draw from this seed; nets made one after the other differ."""
    _Modes.random = Random(int(seed))
    _Modes.made = 0


def backend() -> Any:
    """The backend of the current mode."""
    return get_backend(_Modes.backend_name, _Modes.device)


def random() -> Random | None:
    """The random streams of the next net; None before any `set_random_seed`."""
    if _Modes.random is None:
        return None
    _Modes.made += 1
    return Random(_Modes.random.seed) if _Modes.made == 1 else Random(_Modes.random.seed).child(f"net{_Modes.made}")


def layer_type_list() -> list[str]:
    """The names of all layer types."""
    return sorted(layer_types())
