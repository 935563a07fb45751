"""Backends: memory, stream, array module and the complete set of ops. Asked for by name; loaded when asked for."""

from __future__ import annotations

from typing import Any

from layerforge.core.errors import DeviceError


def get_backend(name: str = "numpy", device: int = 0) -> Any:
    """The backend `numpy` or `cupy`. Of a GPU there is one, so that nets on it share memory and stream.

    Raises DeviceError with the reason when its library or device is missing.
    """
    if name == "numpy":
        from layerforge.backends.numpy import NumpyBackend

        return NumpyBackend()
    if name == "cupy":
        from layerforge.backends.cupy import shared_backend

        return shared_backend(device)
    raise DeviceError(f"there is no backend {name!r}", hint="the backends are numpy and cupy")
