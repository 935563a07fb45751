"""Plugins: Python modules of the user that register layers, rules or policies before the nets are read."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from layerforge.core.errors import DataError
from layerforge.core.files import find_path
from layerforge.layers.registry import adopt


def load_plugins(names: Sequence[str], folder: str = "", where: object = None) -> list[ModuleType]:
    """Imports each: a name ending in .py is a file (from the working folder, else from `folder`), any other a module.

    What a module's own code raises comes out as it is.

    Raises DataError for a file or module that is missing.
    """
    modules = []
    for name in names:
        if name.endswith(".py"):
            modules.append(_load_file(find_path(name, folder, what="plugin", where=where)))
        else:
            modules.append(_load_module(name, folder, where))
        adopt(modules[-1])
    return modules


def _load_file(path: str) -> ModuleType:
    """The file as a module of its base name; it runs once."""
    path = os.path.abspath(path)
    name = os.path.basename(path)[:-3]
    known = sys.modules.get(name)
    if known is not None and os.path.abspath(getattr(known, "__file__", None) or "") == path:
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # the name ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _load_module(name: str, folder: str, where: object) -> ModuleType:
    places = [os.path.abspath(""), os.path.abspath(folder)]
    before = sys.path[:]
    sys.path += [place for place in places if place not in before]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise  # the plugin misses a module of its own
        looked = " or in ".join(map(repr, dict.fromkeys(places)))
        raise DataError(f"plugin {name!r} is missing: it is not on sys.path, in {looked}", where=where,
                        hint="set PYTHONPATH, or put the module beside the solver") from None
    finally:
        sys.path[:] = before
