"""Text in pictures: the font that matplotlib brings: widths are known, a machine without fonts draws the same."""

from __future__ import annotations

import functools
import os
import warnings
from typing import Any

from layerforge.pictures.packages import package

FAMILY = "DejaVu Sans, Verdana, Bitstream Vera Sans, sans-serif"
_REFERENCE_SIZE = 100.0


@functools.cache
def font_files() -> tuple[str, str]:
    """The files of the regular and of the bold font."""
    folder = os.path.join(package("matplotlib").get_data_path(), "fonts", "ttf")
    return os.path.join(folder, "DejaVuSans.ttf"), os.path.join(folder, "DejaVuSans-Bold.ttf")


@functools.cache
def width(text: str, size: float, bold: bool = False) -> float:
    """The width of a line in pixels of the picture, for a font size in the same unit."""
    font = _font(bold)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a letter that the font lacks has a width all the same
        font.set_text(text)
    return float(font.get_width_height()[0]) / 64 * size / _REFERENCE_SIZE


@functools.cache
def _font(bold: bool) -> Any:
    font = package("matplotlib.ft2font").FT2Font(font_files()[bold])
    font.set_size(_REFERENCE_SIZE, 72)
    return font
