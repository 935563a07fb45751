"""The `engine` field that several layers have."""

from __future__ import annotations

from typing import Any

from layerforge.netdef.params import field

ENGINES = ("DEFAULT", "CAFFE", "CUDNN", "ONEDNN")


def engine_field() -> Any:
    """Who computes the layer; where a named engine cannot, its reason is the error."""
    return field(str, "DEFAULT", choices=ENGINES,
                 doc="who computes: the fastest that can (DEFAULT), the layer's own maths (CAFFE), or a library")
