"""Engines: faster ways to run layers, each for one backend."""

from __future__ import annotations

import functools
import logging
import os
from typing import Any

from layerforge.core.errors import DeviceError, did_you_mean
from layerforge.engines.lowering import Engine

log = logging.getLogger("layerforge")

VARIABLE = "LAYERFORGE_ENGINE"
"""NONE switches the engines off; otherwise the best that loads is taken. On a GPU CUDNN asks for cuDNN, whose absence
is an error then; CUDNN:TF32, CUDNN:BF16 or CUDNN:FP16 also for products in that type, whatever compute_type says."""

COMPUTE_TYPES = ("FP32", "TF32", "BF16", "FP16")


def default_engines(backend: Any, keep: str = "all", compute_type: str = "") -> list[Engine]:
    """Fresh engines for one net on this backend; none where the library is missing.

    compute_type  what products are computed in; "" is FP32. Only an engine can have another type than FP32.

    Raises DeviceError when no engine here has that type.
    """
    kind = compute_type or "FP32"
    if kind not in COMPUTE_TYPES:
        raise DeviceError(f"there is no compute_type: {kind}",
                          hint=did_you_mean(kind, COMPUTE_TYPES) or f"the types are {', '.join(COMPUTE_TYPES)}")
    wish, _, own = os.environ.get(VARIABLE, "").upper().partition(":")
    if wish == "NONE" and kind != "FP32":
        raise DeviceError(f"compute_type: {kind} needs an engine, and {VARIABLE}=NONE switches them off",
                          hint=f"unset {VARIABLE}, or remove the field")
    if backend.name not in ("numpy", "cupy") and kind != "FP32":
        raise DeviceError(f"compute_type: {kind} needs an engine, and the backend {backend.name} has none")
    if wish == "NONE" or backend.name not in ("numpy", "cupy"):
        return []
    if backend.name == "numpy":
        return _onednn(keep, kind)
    if wish == "CUDNN":
        return [_cudnn(backend, own or kind, keep)]
    return _cudnn_if_there(backend, keep) if kind == "FP32" else [_cudnn_for(backend, kind, keep)]


def _onednn(keep: str, kind: str) -> list[Engine]:
    """The oneDNN engine; without the library none in FP32, where the layers compute themselves.

    Raises DeviceError for a type that the library, or the processor, does not have.
    """
    from layerforge.engines.onednn.engine import OneDnnEngine
    from layerforge.engines.onednn.library import check_type, load

    check_type(kind)
    try:
        return [OneDnnEngine(load(), keep, kind)]
    except DeviceError:
        return []


def _cudnn_if_there(backend: Any, keep: str) -> list[Engine]:
    """The cuDNN engine; without the library none, where the backend's own kernels run: the log says why, once."""
    try:
        return [_cudnn(backend, "FP32", keep)]
    except DeviceError as error:
        _say_once(f"cuDNN is not used: {error.message}. The GPU's own kernels run")
        return []


@functools.cache
def _say_once(text: str) -> None:
    log.warning("%s", text)


def _cudnn_for(backend: Any, kind: str, keep: str) -> Engine:
    """The cuDNN engine, for the sake of a type.

    Raises DeviceError when it cannot be had.
    """
    try:
        return _cudnn(backend, kind, keep)
    except DeviceError as error:
        raise DeviceError(f"compute_type: {kind} needs cuDNN: {error.message}",
                          hint=f"{error.hint}, or remove the field" if error.hint else "remove the field") from None


def _cudnn(backend: Any, kind: str, keep: str) -> Engine:
    """The cuDNN engine, which was asked for.

    Raises DeviceError when it cannot be had.
    """
    from layerforge.engines.cudnn.engine import CudnnEngine
    from layerforge.engines.cudnn.graphs import TYPES
    from layerforge.engines.cudnn.library import shared_runner

    if kind not in TYPES:
        raise DeviceError(f"{VARIABLE}: cuDNN has no type {kind}", hint=f"the types are {', '.join(TYPES)}")
    return CudnnEngine(backend, shared_runner(backend), kind, keep)
