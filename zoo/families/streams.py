"""Numbers of characters or words as HDF5 files for nets that read sequences: rows are steps, columns are streams."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from layerforge.core.files import replacing


def write_part(part: str, arrays: Mapping[str, np.ndarray], folder: str = ".") -> int:
    """Writes PART.h5 with these datasets and PART.txt, which lists it; returns the number of rows."""
    import h5py

    with replacing(os.path.join(folder, f"{part}.h5")) as path, h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values.astype(np.float32))
    with replacing(os.path.join(folder, f"{part}.txt")) as path, open(path, "w", encoding="utf-8") as lines:
        lines.write(f"{part}.h5\n")
    return len(next(iter(arrays.values())))
