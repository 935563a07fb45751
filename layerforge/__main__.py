"""`python -m layerforge` is `layerforge`."""

import sys

from layerforge.cli.main import main

sys.exit(main())
