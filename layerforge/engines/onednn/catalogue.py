"""Every loop that we compile, by name. Needs llvmlite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from layerforge.engines.onednn import cell_loops, loops, norm_loops
from layerforge.engines.onednn.update_loops import UPDATES

ONCE: dict[str, Callable[..., loops.Loop]] = {"normalise": loops.normalise, "clip": loops.clip, **UPDATES}
TWICE: dict[str, Callable[..., norm_loops.Norm]] = {
    "norm_forward": norm_loops.forward,
    "norm_backward": norm_loops.backward,
}


CELLS: dict[str, Callable[[str], Any]] = {"lstm_forward": cell_loops.forward, "lstm_backward": cell_loops.backward}


def make(name: str, width: int, reduced: bool, *options: bool | int) -> Any:
    """LLVM's module with the loop of this name for vectors of so many numbers, bfloat16 in memory if `reduced`."""
    if name in CELLS:
        return CELLS[name](name)
    if name in TWICE:
        return norm_loops.module(name, TWICE[name](*options), width, reduced)
    return loops.module(name, ONCE[name](*options), width, reduced)
