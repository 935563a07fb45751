"""Makes `layerforge.cli` and `layerforge.zoo` of a checkout importable where the project is not installed."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if importlib.util.find_spec("layerforge") is None:
    sys.path.insert(0, str(ROOT))
if importlib.util.find_spec("layerforge.cli") is None:
    import layerforge

    layerforge.__path__.append(str(ROOT))  # cli/ and zoo/ lie there, as setup.cfg says
