"""HDF5: batches from datasets named as the tops, over several files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from layerforge.core.errors import DataError, did_you_mean
from layerforge.core.files import find_path
from layerforge.core.random import Stream
from layerforge.data.source import Batch, Position

BEST_RATIO, SMALL_BYTES = 1000, 2**20  # of compression; below a megabyte all may be one value
LOAD_BYTES = 2**28  # datasets up to this size are read at once, larger ones slice by slice


def read_file_list(path: str, folder: str = "") -> list[str]:
    """The HDF5 files a list names, separated by spaces or lines, as paths.

    Raises DataError when the list or a file is missing, or the list is empty.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            names = file.read().split()
    except OSError as error:
        raise DataError(f"the list {path!r} cannot be read: {error.strerror}") from None
    if not names:
        raise DataError(f"the list {path!r} names no HDF5 file")
    return [find_path(name, folder, what="HDF5 file", where=path) for name in names]


def open_hdf5(path: str) -> Any:
    """The file, open for reading.

    Raises DataError when it is no HDF5 file.
    """
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path} is no HDF5 file that can be read: {str(error).split('(')[-1].rstrip(')')}") from None


@contextlib.contextmanager
def _whole(path: str) -> Iterator[None]:
    """What HDF5 stumbles over inside a damaged file becomes an error that names the file."""
    try:
        yield
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise DataError(f"{path} is no whole HDF5 file: {error}", hint="it may be cut off: copy it again") from None


class Hdf5Source:
    """Rows of the datasets `names`; batches go on from file to file and around the end.

    files, rows  streams of the shuffles of files and of rows in a file, drawn for every round; None keeps the order
    """

    def __init__(self, paths: Sequence[str], names: Sequence[str], batch_size: int, *,
                 files: Stream | None = None, rows: Stream | None = None, dtype: Any = np.float32) -> None:
        self.paths, self.names, self.batch_size, self.dtype = list(paths), list(names), batch_size, np.dtype(dtype)
        self._file_order, self._row_order = files, rows
        self._row_shapes: list[tuple[int, ...]] = []
        self._rows = [self._inspect(path) for path in self.paths]
        self._total = sum(self._rows)
        self._record = 0
        self._held: tuple[int, Any, list[Any]] = -1, None, []
        self._row_draw: tuple[Any, np.ndarray] = None, np.empty(0, int)

    def _inspect(self, path: str) -> int:
        """The number of rows; every dataset is checked against those of the first file."""
        with _whole(path), open_hdf5(path) as file:
            datasets = [self._dataset(file, path, name) for name in self.names]
            counts = {len(dataset) for dataset in datasets}
            shapes = [dataset.shape[1:] for dataset in datasets]
        if len(counts) != 1:
            raise DataError(f"{path}: the datasets {', '.join(self.names)} differ in rows: {sorted(counts)}")
        if shapes != (self._row_shapes or shapes):
            raise DataError(f"{path}: rows have the shapes {shapes}, those of {self.paths[0]} {self._row_shapes}")
        self._row_shapes = shapes
        if counts == {0}:
            raise DataError(f"{path}: the dataset {self.names[0]!r} has no rows")
        return counts.pop()

    def _dataset(self, file: Any, path: str, name: str) -> Any:
        import h5py

        found = file.get(name)
        if not isinstance(found, h5py.Dataset):
            raise DataError(f"{path} has no dataset {name!r}",
                            hint=did_you_mean(name, list(file)) or f"it has {', '.join(list(file)[:20])}")
        if found.dtype.kind not in "fiub" or not found.shape:
            raise DataError(f"{path}: the dataset {name!r} is {found.dtype} of shape {found.shape}, no rows of numbers")
        stored = found.id.get_storage_size()
        if found.nbytes > BEST_RATIO * stored + SMALL_BYTES and not (found.external or found.is_virtual):
            raise DataError(f"{path}: the dataset {name!r} of shape {found.shape} has only {stored} bytes in the file",
                            hint="the file is damaged")
        return found

    def shapes(self) -> list[tuple[int, ...]]:
        return [(self.batch_size, *shape) for shape in self._row_shapes]

    def tell(self) -> Position:
        return {"record": self._record, "of": self._total}

    def seek(self, position: Position) -> None:
        if int(position["of"]) != self._total:
            raise DataError(f"the HDF5 files have {self._total} rows, {position['of']} when the state was saved")
        self._record = int(position["record"])

    def read(self) -> tuple[list[np.ndarray], Position]:
        arrays = [np.empty(shape, self.dtype) for shape in self.shapes()]
        filled = 0
        while filled < self.batch_size:
            filled += self._fill(arrays, filled)
        return arrays, self.tell()

    def _fill(self, arrays: list[np.ndarray], start: int) -> int:
        """Takes rows of the file at the position into arrays[start:]; returns how many."""
        number, offset = divmod(self._record, self._total)
        place, index, offset = self._find(number, offset)
        count = min(self.batch_size - start, self._rows[index] - offset)
        for array, rows in zip(arrays, self._open(index)):
            chosen: Any = slice(offset, offset + count)
            if self._row_order is not None:
                chosen = self._shuffled(self._row_order, number * len(self.paths) + place, self._rows[index])[chosen]
            with _whole(self.paths[index]):
                array[start : start + count] = rows[chosen]
        self._record += count
        return count

    def _find(self, number: int, offset: int) -> tuple[int, int, int]:
        """(place in the round's order of files, file, row in it) of a row of round `number`."""
        files = len(self.paths)
        order = range(files) if self._file_order is None else self._file_order.at(number).permutation(files)
        for place, index in enumerate(order):
            if offset < self._rows[index]:
                return place, int(index), offset
            offset -= self._rows[index]
        raise IndexError(offset)

    def _shuffled(self, stream: Stream, draw: int, count: int) -> np.ndarray:
        if self._row_draw[0] != (stream.key, draw):
            self._row_draw = (stream.key, draw), stream.at(draw).permutation(count)
        return self._row_draw[1]

    def _open(self, index: int) -> list[Any]:
        """The datasets of a file: arrays when small or shuffled, else the open datasets. One file is held at a time."""
        if self._held[0] != index:
            self.close()
            path = self.paths[index]
            file = open_hdf5(path)
            with _whole(path):
                rows = [self._dataset(file, path, name) for name in self.names]
                if self._row_order is not None or sum(dataset.nbytes for dataset in rows) <= LOAD_BYTES:
                    rows = [dataset[...] for dataset in rows]
                    file.close()
            self._held = index, file, rows
        return self._held[2]

    def make(self, raw: tuple[list[np.ndarray], Position]) -> Batch:
        arrays, after = raw
        return Batch(tuple(arrays), after)

    def close(self) -> None:
        if self._held[1] is not None:
            self._held[1].close()
        self._held = -1, None, []
