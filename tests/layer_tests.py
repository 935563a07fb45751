"""The LayerTest classes under tests/layers: what a layer is tried with."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path

from layerforge.testing import LayerTest

FOLDER = Path(__file__).resolve().parent / "layers"


@functools.cache
def layer_tests() -> dict[str, type[LayerTest]]:
    """File and class → the class."""
    found: dict[str, type[LayerTest]] = {}
    for path in sorted(FOLDER.rglob("test_*.py")):
        if "LayerTest" not in path.read_text("utf-8"):
            continue
        spec = importlib.util.spec_from_file_location(f"_subjects_{path.stem}", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up
        try:
            spec.loader.exec_module(module)
        finally:
            del sys.modules[spec.name]
        for name, member in vars(module).items():
            if isinstance(member, type) and issubclass(member, LayerTest) and hasattr(member, "layer"):
                found[f"{path.stem.removeprefix('test_')}.{name}"] = member
    return found
