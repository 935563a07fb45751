"""The packages that draw; they are an extra, so an error says how to get them."""

from __future__ import annotations

import importlib
from types import ModuleType

from layerforge.core.errors import DeviceError


def package(name: str) -> ModuleType:
    """The module of this name, imported when it is first needed.

    Raises DeviceError when it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DeviceError(f"pictures need the package {name.partition('.')[0]}: {error}",
                          hint="pip install 'layerforge[pictures]'") from None
