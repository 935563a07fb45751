"""Engines: faster ways to run layers, each for one backend."""

from __future__ import annotations

import os
from typing import Any

from layerforge.core.errors import DeviceError
from layerforge.engines.lowering import Engine

VARIABLE = "LAYERFORGE_ENGINE"
"""NONE switches the engines off; otherwise the best that loads is taken."""


def default_engines(backend: Any, keep: str = "all") -> list[Engine]:
    """Fresh engines for one net on this backend; none where the library is missing."""
    if os.environ.get(VARIABLE, "").upper() == "NONE" or backend.name != "numpy":
        return []
    from layerforge.engines.onednn.engine import OneDnnEngine
    from layerforge.engines.onednn.library import load

    try:
        return [OneDnnEngine(load(), keep)]
    except DeviceError:
        return []
