"""Packages that are extras of the project: imported when they are first needed, and missed with the way to get them."""

from __future__ import annotations

import importlib
from types import ModuleType

from layerforge.core.errors import DeviceError


def extra(name: str, needs: str, hint: str) -> ModuleType:
    """The module of this name.

    needs  who needs which package: the start of the message

    Raises DeviceError with the hint when it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DeviceError(f"{needs}: {error}", hint=hint) from None
