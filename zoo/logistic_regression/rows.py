"""Makes data for the logistic regression: train.h5 and test.h5, and the lists that name them.

Rows of four gaussian numbers; the class is 1 where a weighted sum of them and a little noise is above 0.
"""

from __future__ import annotations

import argparse

import numpy as np

from layerforge.zoo.families.streams import write_part
from layerforge.zoo.program import run

WEIGHTS = (2.0, -1.0, 0.5, 0.0)
ROWS = {"train": 7500, "test": 2500}


def rows(count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """data (count, 4), label (count,)"""
    data = rng.standard_normal((count, len(WEIGHTS)))
    return {"data": data, "label": data @ WEIGHTS + 0.3 * rng.standard_normal(count) > 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=".", help="the folder to write into")
    arguments, rng = parser.parse_args(), np.random.default_rng(1)
    for part, count in ROWS.items():
        print(f"{part}.h5: {write_part(part, rows(count, rng), arguments.out):,} rows")


if __name__ == "__main__":
    run(main)
