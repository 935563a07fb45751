"""SVG to PNG, by resvg: its library comes with a package, no program and no system font is needed."""

from __future__ import annotations

import re

from layerforge.core.errors import DeviceError
from layerforge.pictures.packages import package
from layerforge.pictures.text import font_files

SCALE = 2.0  # pixels of the PNG for one of the SVG
MOST_SIDE, MOST_PIXELS = 32_000, 120_000_000
_SIZE = re.compile(r'<svg[^>]* width="(\d+)[^"]*" height="(\d+)')


def png_of(svg: str) -> bytes:
    """The picture as PNG, twice as fine as the SVG unless that is too large.

    Raises DeviceError when the package is missing or cannot draw it.
    """
    found = _SIZE.search(svg)
    wide, high = (int(found[1]), int(found[2])) if found else (1, 1)
    scale = min(SCALE, MOST_SIDE / max(wide, high), (MOST_PIXELS / (wide * high)) ** 0.5)
    try:
        made = package("resvg_py").svg_to_bytes(
            svg_string=svg, zoom=scale, skip_system_fonts=True, font_files=list(font_files()),
            font_family="DejaVu Sans", sans_serif_family="DejaVu Sans")
    except ValueError as error:
        raise DeviceError(f"the picture could not be drawn: {error}") from None
    return bytes(made)
