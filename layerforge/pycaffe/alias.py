"""`import caffe` for old scripts, without a top-level package of that name on disk."""

from __future__ import annotations

import importlib
import os
import sys

import layerforge.pycaffe as facade

MODULES = ("io", "proto", "proto.caffe_pb2", "net_spec", "coord_map", "classifier", "detector", "draw", "pycaffe")
STAND_IN = os.path.join(os.path.dirname(__file__), "stand_in")
"""A folder whose package `caffe` does what `install_as_caffe` does: on the path of processes that a script starts."""


def install_as_caffe() -> None:
    """From now on, in this process, `import caffe` and its modules give this package's.

    A real Caffe that was imported already is replaced for later imports.
    """
    facade.__version__ = importlib.import_module("layerforge").__version__  # type: ignore[attr-defined]
    sys.modules["caffe"] = sys.modules["caffe._caffe"] = facade
    for name in MODULES:
        sys.modules[f"caffe.{name}"] = importlib.import_module(f"layerforge.pycaffe.{name}")


def install_for_children() -> None:
    """Lets the Python processes that this one starts (workers, further scripts) `import caffe` too."""
    if STAND_IN not in sys.path:
        sys.path[1:1] = [STAND_IN]
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if STAND_IN not in inherited:
        os.environ["PYTHONPATH"] = os.pathsep.join([STAND_IN, *filter(None, inherited)])
