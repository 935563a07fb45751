"""What the zoo's small programs share: errors become messages, as on the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable

from layerforge.core.errors import LayerForgeError


def run(main: Callable[[], None]) -> None:
    """Runs a program; an error in a file or value is printed, and the exit code is 1."""
    try:
        main()
    except (LayerForgeError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
