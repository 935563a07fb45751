"""HDF5 files that appear whole or not at all, also where the disk is full."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from layerforge.core.errors import DataError
from layerforge.core.files import replacing


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Any]:
    """A new file that takes the place of `path` when it is whole.

    Raises DataError when it cannot be written.
    """
    import h5py

    with replacing(os.fspath(path)) as temporary, open(temporary, "w+b", buffering=0) as file:
        disk = _Disk(file)
        try:
            with h5py.File(disk, "w") as hdf5:
                yield hdf5
        except (RuntimeError, ValueError) as error:
            raise DataError(f"{os.fspath(path)} cannot be written: {disk.error or error}") from None
        if disk.error:
            raise disk.error


class _Disk(io.RawIOBase):
    """A file that keeps the first error of a write and from then on takes everything and keeps nothing.

    HDF5 that may not write its buffers cannot close a file, and crashes the program at its end.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if self.error is None:
            try:
                done = 0
                while done < len(view):
                    done += self._file.write(view[done:])
                return done
            except OSError as error:
                self.error = error
        self._file.seek(len(view), os.SEEK_CUR)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        got: int = self._file.readinto(buffer)
        return got

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        place: int = self._file.seek(offset, whence)
        return place

    def tell(self) -> int:
        place: int = self._file.tell()
        return place

    def truncate(self, size: int | None = None) -> int:
        """The file is as long as what was written: on a full disk it does not grow."""
        if self.error is None:
            try:
                self._file.truncate(size)
            except OSError as error:
                self.error = error
        return size if size is not None else self.tell()


class _NoRows(Exception):
    """Ends a file that nothing was written to."""


class Hdf5Writer:
    """Datasets that grow by rows in a file that appears, whole, when it is closed."""

    def __init__(self, path: str) -> None:
        self._place = writing(path)
        self._file: Any = self._place.__enter__()

    def append(self, **rows: np.ndarray) -> None:
        """Adds rows to datasets, which are made by the first call."""
        for name, values in rows.items():
            if name not in self._file:
                self._file.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]))
                continue
            dataset = self._file[name]
            held = len(dataset)
            dataset.resize(held + len(values), axis=0)
            dataset[held:] = values

    def close(self) -> None:
        """Puts the file in its place; without rows there is none. Safe to call twice.

        Raises DataError when it cannot be written.
        """
        if self._file is None:
            return
        file, self._file = self._file, None
        if len(file) > 0:
            self._place.__exit__(None, None, None)
        else:
            with contextlib.suppress(_NoRows):
                self._place.__exit__(_NoRows, _NoRows(), None)
