"""Engines: faster ways to run layers, each for one backend."""

from __future__ import annotations

import os
from typing import Any

from layerforge.core.errors import DeviceError
from layerforge.engines.lowering import Engine

VARIABLE = "LAYERFORGE_ENGINE"
"""NONE switches the engines off; otherwise the best that loads is taken. On a GPU CUDNN, CUDNN:TF32, CUDNN:BF16 or
CUDNN:FP16 switches cuDNN on, with products in that type; without it the kernels of the backend run."""


def default_engines(backend: Any, keep: str = "all") -> list[Engine]:
    """Fresh engines for one net on this backend; none where the library is missing."""
    wish = os.environ.get(VARIABLE, "").upper()
    if backend.name == "cupy" and wish.split(":")[0] == "CUDNN":
        return [_cudnn(backend, wish.partition(":")[2] or "FP32")]
    if wish == "NONE" or backend.name != "numpy":
        return []
    from layerforge.engines.onednn.engine import OneDnnEngine
    from layerforge.engines.onednn.library import load

    try:
        return [OneDnnEngine(load(), keep)]
    except DeviceError:
        return []


def _cudnn(backend: Any, kind: str) -> Engine:
    """The cuDNN engine, which was asked for.

    Raises DeviceError when it cannot be had.
    """
    from layerforge.engines.cudnn.engine import CudnnEngine
    from layerforge.engines.cudnn.graphs import TYPES
    from layerforge.engines.cudnn.library import shared_runner

    if kind not in TYPES:
        raise DeviceError(f"{VARIABLE}: cuDNN has no type {kind}", hint=f"the types are {', '.join(TYPES)}")
    return CudnnEngine(backend, shared_runner(backend), kind)
