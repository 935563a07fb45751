"""`import caffe` for old scripts, without a top-level package of that name on disk."""

from __future__ import annotations

import importlib
import sys

import layerforge.pycaffe as facade

MODULES = ("io", "proto", "proto.caffe_pb2", "net_spec", "coord_map", "classifier", "detector")


def install_as_caffe() -> None:
    """From now on, in this process, `import caffe` and its modules give this package's.

    A real Caffe that was imported already is replaced for later imports.
    """
    facade.__version__ = importlib.import_module("layerforge").__version__  # type: ignore[attr-defined]
    sys.modules["caffe"] = facade
    for name in MODULES:
        module = importlib.import_module(f"layerforge.pycaffe.{name}")
        sys.modules[f"caffe.{name}"] = module
