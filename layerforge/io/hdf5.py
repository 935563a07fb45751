"""HDF5 files that cannot harm: arrays are checked before memory is taken, links that lead elsewhere are left out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from layerforge.core.errors import DataError

MAGIC = b"\x89HDF\r\n\x1a\n"
_BEST_RATIO, _SMALL = 200, 2**20  # of compression; arrays below a megabyte may be all zeros


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether the file begins as HDF5 does.

    Raises DataError when it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise DataError(f"{os.fspath(path)} cannot be read: {error.strerror or error}") from None


def is_hdf5_name(path: str | os.PathLike[str]) -> bool:
    """Whether a file of this name is to be HDF5."""
    return os.fspath(path).endswith((".h5", ".hdf5"))


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], kind: str) -> Iterator[Any]:
    """The open file; what HDF5 stumbles over inside becomes a DataError that names the file and the kind expected."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{os.fspath(path)} is no whole {kind}: {error}",
                        hint="the file may be cut off; load it again") from None


def members(group: Any) -> dict[str, Any]:
    """The groups and datasets right below a group; links that lead out of it are left out."""
    import h5py

    return {name: group[name] for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink)}


def array(dataset: Any, owner: str) -> np.ndarray:
    """The numbers of a dataset.

    Raises DataError when it holds no numbers, lies in other files, or claims more than the file can hold.
    """
    if not hasattr(dataset, "dtype") or dataset.dtype.kind not in "fiub" or dataset.shape is None:
        raise DataError(f"{owner} is no array of numbers")
    if dataset.external or dataset.is_virtual:
        raise DataError(f"{owner} lies in another file", hint="copy the numbers into one file")
    if dataset.nbytes > _BEST_RATIO * dataset.id.get_storage_size() + _SMALL:
        raise DataError(f"{owner} of shape {dataset.shape} has only {dataset.id.get_storage_size()} bytes in the file",
                        hint="the file is damaged")
    values: np.ndarray = dataset[()] if dataset.shape else np.asarray(dataset[()])
    return values
