"""The mean picture of a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from layerforge.core.errors import DataError
from layerforge.data.datum import parse_datum, stack_raw
from layerforge.data.images import decode
from layerforge.data.portions import portions
from layerforge.data.reader import Reader, Record

ROWS = 256  # records added at once


def mean_picture(reader: Reader, records: Iterable[Record]) -> tuple[np.ndarray, int]:
    """(mean (C, H, W) float32, N): Σ x / N over the N records; compressed pictures are decoded as they are.

    The sum is kept in double precision; Caffe's, in single, is the same up to 65,000 pictures.

    Raises DataError with the key of a record that is broken or has another size than the first.
    """
    total = np.zeros(0)
    count = 0
    for some in portions(records, ROWS):
        for x, name in _pixels(reader, some):
            if not count:
                total = np.zeros(x.shape[1:])
            if x.shape[1:] != total.shape:
                raise DataError(f"{name} has the shape {x.shape[1:]}, the records before it {total.shape}",
                                hint="a mean needs pictures of one size: resize them when the database is made")
            total += x.sum(0, dtype=np.int64 if x.dtype == np.uint8 else np.float64)
            count += len(x)
    if not count:
        raise DataError(f"{reader.path}: the database is empty", hint="build the database again")
    return total.astype(np.float32) / np.float32(count), count


def _pixels(reader: Reader, records: list[Record]) -> Iterator[tuple[np.ndarray, str]]:
    """(N, C, H, W) of records that are alike at once, else of each; and a name for errors."""
    head = parse_datum(records[0][1], reader.name(records[0][0]))
    stacked = stack_raw([value for _, value in records], head)
    if stacked is not None:
        yield stacked[0], reader.name(records[0][0])
        return
    for key, value in records:
        name = reader.name(key)
        datum = parse_datum(value, name)
        x = decode(datum.data, None, name).transpose(2, 0, 1) if datum.encoded else datum.array()
        yield x[None], name
