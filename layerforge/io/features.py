"""What a net computed, kept for other programs: databases of float records, HDF5 files, .npy files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from layerforge.core.errors import DataError
from layerforge.core.files import replacing
from layerforge.data.datum import make_float_datum
from layerforge.data.hdf5_writer import writing
from layerforge.data.writer import OPEN_WRITERS

KINDS = ("lmdb", "leveldb", "hdf5", "npy")
Append = Callable[[np.ndarray], None]
"""Takes the next rows: (N, …)."""


@contextlib.contextmanager
def feature_file(path: str, kind: str, name: str) -> Iterator[Append]:
    """Gives a function that takes the next rows; the file or database is there when the block ends well.

    kind  one of KINDS
    name  of the blob: that of the dataset in an HDF5 file
    Raises DataError when it cannot be written; nothing is left then.
    """
    opened = _hdf5(path, name) if kind == "hdf5" else _npy(path) if kind == "npy" else _database(path, kind, name)
    with opened as append:
        yield append


@contextlib.contextmanager
def _database(path: str, kind: str, name: str) -> Iterator[Append]:
    """Records under the keys of Caffe's extract_features: the number, ten digits wide."""
    count = 0

    def append(rows: np.ndarray) -> None:
        nonlocal count
        if rows.ndim > 4:
            raise DataError(f"{name} has the shape {rows.shape}, a record holds (channels, height, width)",
                            hint="write it as hdf5 or npy")
        shape = (*rows.shape[1:], 1, 1, 1)[:3]
        put([(b"%010d" % (count + i), make_float_datum(row.reshape(shape))) for i, row in enumerate(rows)])
        count += len(rows)

    with OPEN_WRITERS[kind.upper()](path) as put:
        yield append


@contextlib.contextmanager
def _hdf5(path: str, name: str) -> Iterator[Append]:
    """One dataset, named as the blob."""

    def append(rows: np.ndarray) -> None:
        if name not in file:
            file.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]))
            return
        dataset = file[name]
        _same_row(dataset.shape, rows.shape, name)
        dataset.resize(len(dataset) + len(rows), axis=0)
        dataset[-len(rows) :] = rows

    with writing(path) as file:
        yield append


@contextlib.contextmanager
def _npy(path: str) -> Iterator[Append]:
    """One array; the header is written again when the number of rows is known (NumPy leaves room for it)."""
    shape: tuple[int, ...] | None = None

    def header() -> None:
        assert shape is not None
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})

    def append(rows: np.ndarray) -> None:
        nonlocal shape
        if shape is None:
            shape = (0, *rows.shape[1:])
            header()
        _same_row(shape, rows.shape, path)
        file.write(np.ascontiguousarray(rows, "<f4").tobytes())
        shape = (shape[0] + len(rows), *shape[1:])

    with replacing(path) as temporary, open(temporary, "wb") as file:
        yield append
        if shape is not None:
            header()


def _same_row(held: tuple[int, ...], rows: tuple[int, ...], name: str) -> None:
    if held[1:] != rows[1:]:
        raise DataError(f"{name}: rows of the shape {rows[1:]} follow rows of {held[1:]}",
                        hint="a blob whose shape changes goes into a database: lmdb")
