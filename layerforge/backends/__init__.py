"""Backends: memory, stream, array module and the complete set of ops. Asked for by name; loaded when asked for."""

from __future__ import annotations

from typing import Any

from layerforge.core.errors import DeviceError


def get_backend(name: str = "numpy", device: int = 0) -> Any:
    """The backend `numpy` or `cupy`.

    Raises DeviceError with the reason when its library or device is missing.
    """
    if name == "numpy":
        from layerforge.backends.numpy import NumpyBackend

        return NumpyBackend()
    if name == "cupy":
        from layerforge.backends.cupy import CupyBackend

        return CupyBackend(device)
    raise DeviceError(f"there is no backend {name!r}", hint="the backends are numpy and cupy")
