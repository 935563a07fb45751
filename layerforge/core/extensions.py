"""What installed packages bring along: modules that register layers, rules or policies when they are imported."""

from __future__ import annotations

import functools
import importlib.metadata
import logging

GROUP = "layerforge.layers"


@functools.cache
def load_extensions() -> None:
    """Imports every entry point of the group, once. One that fails is named in the log, and the others go on."""
    for found in importlib.metadata.entry_points(group=GROUP):
        try:
            found.load()
        except Exception as error:  # somebody else's package must not stop this program
            package = found.dist.name if found.dist else "?"
            logging.getLogger("layerforge").warning(
                "the layers of package %s (entry point %s) are not there: %s: %s", package, found.value,
                type(error).__name__, error)
