"""LayerForge trains, tests, times and applies nets described by Caffe's protobuf text files.

`import layerforge as caffe` gives pycaffe's names. They live in `layerforge.pycaffe` and load when first asked for, so
that the import itself costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_FACADE_MODULES = ("proto", "coord_map", "net_spec", "draw", "classifier", "detector")


class _Layers:
    """caffe.layers for names of layer types (`layers.Convolution`), the room `layerforge.layers` for all others."""

    def __getattr__(self, name: str) -> Any:
        if name[:1].isupper():
            return getattr(importlib.import_module("layerforge.pycaffe.net_spec").layers, name)
        return getattr(importlib.import_module("layerforge.layers"), name)


class _Package(ModuleType):
    """The package as a module. `io` and `layers` name both a room and a part of pycaffe: as attributes they are
    pycaffe's, while `from layerforge.io.weights import …` goes to the room, because imports look into sys.modules."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            if name == "install_as_caffe":
                return importlib.import_module("layerforge.pycaffe.alias").install_as_caffe
            facade = importlib.import_module("layerforge.pycaffe")
            if name in facade.__all__:
                return getattr(facade, name)
            if name in _FACADE_MODULES:
                return importlib.import_module(f"layerforge.pycaffe.{name}")
        raise AttributeError(f"module 'layerforge' has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        facade = importlib.import_module("layerforge.pycaffe").__all__
        return sorted({*super().__dir__(), *facade, *_FACADE_MODULES, "install_as_caffe"})

    @property
    def io(self) -> ModuleType:
        """caffe.io"""
        return importlib.import_module("layerforge.pycaffe.io")

    @io.setter
    def io(self, room: ModuleType) -> None:
        """The import system puts the room here when it loads it; sys.modules keeps it."""

    @property
    def layers(self) -> Any:
        """caffe.layers: functions that make layers of a NetSpec."""
        return _LAYERS

    @layers.setter
    def layers(self, room: ModuleType) -> None:
        """As with `io`."""


_LAYERS = _Layers()
sys.modules[__name__].__class__ = _Package
