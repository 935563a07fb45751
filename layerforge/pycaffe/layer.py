"""The base of a user's Python layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Layer:
    """Subclass it, and name the class in a prototxt: `type: "Python" python_param { module: ... layer: ... }`.

    bottom and top are blobs with data, diff, shape, reshape(), num … width and count, as in `net.blobs`.

    param_str  the text of python_param
    phase      layerforge.TRAIN or layerforge.TEST
    blobs      the layer's parameters; `self.blobs.add_blob(n, c, ...)` in setup makes one
    """

    type: str = "Python"

    param_str: str = ""
    phase: int = 1
    blobs: Any = ()

    def setup(self, bottom: Sequence[Any], top: Sequence[Any]) -> None:
        """Runs once: read param_str, check the bottoms, add parameters."""

    def reshape(self, bottom: Sequence[Any], top: Sequence[Any]) -> None:
        """Runs before every forward: give each top its shape."""

    def forward(self, bottom: Sequence[Any], top: Sequence[Any]) -> None:
        """Write `data` of each top."""

    def backward(self, top: Sequence[Any], propagate_down: Sequence[bool], bottom: Sequence[Any]) -> None:
        """Write `diff` of each bottom[i] with propagate_down[i]; add to the `diff` of parameters."""
