"""Batches from a database of Datum records."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np

from layerforge.core.errors import DataError
from layerforge.data.datum import Datum, parse_datum, stack_raw
from layerforge.data.images import decode
from layerforge.data.reader import Reader, Record
from layerforge.data.source import Batch, Position
from layerforge.data.transform import Transformer, warn_raw


class _Raw(NamedTuple):
    records: list[Record]
    first: int  # the number of the first of them, counted over all rounds


class DatabaseSource:
    """(N, C, H, W) pictures and (N,) labels, record by record and around the end.

    skip  so many records are left out at the start
    """

    def __init__(
        self, reader: Reader, batch_size: int, transformer: Transformer, *, labels: bool = True, skip: int = 0
    ) -> None:
        self.reader, self.batch_size, self.transformer, self.labels = reader, batch_size, transformer, labels
        key, value = reader.first()
        self._first_name, self._first = reader.name(key), parse_datum(value, reader.name(key))
        if not self._first.encoded:
            warn_raw(transformer.params)
        self.encoded = self._first.encoded
        self._lock = threading.Lock()
        self._record = 0
        self._after: bytes | None = None
        while self._record < skip:
            self._take(min(skip - self._record, 1024))

    def shapes(self) -> list[tuple[int, ...]]:
        first = (self.batch_size, *self.transformer.shape(*self._pixels(self._first, self._first_name).shape))
        return [first, (self.batch_size,)] if self.labels else [first]

    def tell(self) -> Position:
        return {"record": self._record, "after": (self._after or b"").hex()}

    def seek(self, position: Position) -> None:
        self._record, self._after = int(position["record"]), bytes.fromhex(position["after"]) or None
        self.reader.seek(self._after)

    def read(self) -> tuple[_Raw, Position]:
        first = self._record
        return _Raw(self._take(self.batch_size), first), self.tell()

    def _take(self, count: int) -> list[Record]:
        records = self.reader.read(count)
        self._record += count
        self._after = records[-1][0]
        return records

    def make(self, raw: tuple[_Raw, Position]) -> Batch:
        (records, number), after = raw
        head = parse_datum(records[0][1], self.reader.name(records[0][0]))
        stacked = stack_raw([value for _, value in records], head)
        if stacked is not None:
            x, labels = stacked
            out = np.empty((len(x), *self.transformer.shape(*x.shape[1:])), self.transformer.dtype)
            self.transformer.batch(x, number, out)
        else:
            out, labels = self._one_by_one(records, number)
        arrays = (out, labels.astype(self.transformer.dtype)) if self.labels else (out,)
        return Batch(arrays, after)

    def _one_by_one(self, records: list[Record], number: int) -> tuple[np.ndarray, np.ndarray]:
        out: Any = None
        labels = np.empty(len(records), np.int64)
        for i, (key, value) in enumerate(records):
            name = self.reader.name(key)
            datum = parse_datum(value, name)
            x = self._pixels(datum, name)
            if out is None:  # the first picture of a batch gives the shape, as in Caffe
                out = np.empty((len(records), *self.transformer.shape(*x.shape)), self.transformer.dtype)
            require_shape(self.transformer, x, out.shape[1:], name)
            self.transformer.one(x, number + i, out[i])
            labels[i] = datum.label
        return out, labels

    def _pixels(self, datum: Datum, name: str) -> np.ndarray:
        """(C, H, W)"""
        return decode(datum.data, self.transformer.color, name).transpose(2, 0, 1) if datum.encoded else datum.array()

    def close(self) -> None:
        self.reader.close()


def require_shape(transformer: Transformer, x: np.ndarray, shape: tuple[int, ...], name: str) -> None:
    """Raises DataError when a picture (C, H, W) does not become `shape`, that of its batch."""
    try:
        got = transformer.shape(*x.shape)
    except DataError as error:
        raise DataError(f"{name}: {error.message}", where=error.where, hint=error.hint) from None
    if got != shape:
        raise DataError(f"{name} has the shape {got}, the first picture of its batch {shape}",
                        hint="give the pictures one size and one number of channels, or write batch_size: 1")
