"""The packages that draw; they are an extra, so an error says how to get them."""

from __future__ import annotations

from types import ModuleType

from layerforge.core.extras import extra


def package(name: str) -> ModuleType:
    """The module of this name, imported when it is first needed.

    Raises DeviceError when it is not installed.
    """
    return extra(name, f"pictures need the package {name.partition('.')[0]}", "pip install 'layerforge[pictures]'")
