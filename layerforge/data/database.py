"""Batches from a database of Datum records."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np

from layerforge.data.datum import Datum, parse_datum, stack_raw
from layerforge.data.decoding import Compressed, Cut, Decoding, host_work, require_shape
from layerforge.data.images import decode
from layerforge.data.reader import Reader, Record
from layerforge.data.source import Batch, Position
from layerforge.data.transform import Transformer, warn_raw


class _Raw(NamedTuple):
    records: list[Record]
    first: int  # the number of the first of them, counted over all rounds


class DatabaseSource:
    """(N, C, H, W) pictures and (N,) labels, record by record and around the end.

    skip      so many records are left out at the start
    decoding  set when a device decodes the pictures that are compressed
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
        self.decoding: Decoding | None = None
        self._lock = threading.Lock()
        self._record = 0
        self._after: bytes | None = None
        while self._record < skip:
            self._take(min(skip - self._record, 1024))

    def shapes(self) -> list[tuple[int, ...]]:
        first = (self.batch_size, *self.transformer.shape(*self._pixels(self._first, self._first_name).shape))
        return [first, (self.batch_size,)] if self.labels else [first]

    def compressed(self) -> Compressed | str:
        if not self.encoded:
            return "its records are not compressed"
        why = host_work(self.transformer)
        return why or Compressed(bytes(self._first.data), self._first_name, self.transformer.color)

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
        out: np.ndarray | Cut
        if stacked is not None:
            x, labels = stacked
            out = np.empty((len(x), *self.transformer.shape(*x.shape[1:])), self.transformer.dtype)
            self.transformer.batch(x, number, out)
        else:
            out, labels = self._one_by_one(records, number)
        arrays = (out, labels.astype(self.transformer.dtype)) if self.labels else (out,)
        return Batch(arrays, after)

    def _one_by_one(self, records: list[Record], number: int) -> tuple[np.ndarray | Cut, np.ndarray]:
        names = [self.reader.name(key) for key, _ in records]
        datums = [parse_datum(value, name) for (_, value), name in zip(records, names)]
        labels = np.array([datum.label for datum in datums], np.int64)
        if self.decoding is not None and all(datum.encoded for datum in datums):
            color = self.transformer.color
            pictures = [Compressed(bytes(datum.data), name, color) for datum, name in zip(datums, names)]
            return self.decoding.batch(pictures, number), labels
        out: Any = None
        for i, (datum, name) in enumerate(zip(datums, names)):
            x = self._pixels(datum, name)
            if out is None:  # the first picture of a batch gives the shape, as in Caffe
                out = np.empty((len(records), *self.transformer.shape(*x.shape)), self.transformer.dtype)
            require_shape(self.transformer, x.shape, out.shape[1:], name)
            self.transformer.one(x, number + i, out[i])
        return out, labels

    def _pixels(self, datum: Datum, name: str) -> np.ndarray:
        """(C, H, W)"""
        return decode(datum.data, self.transformer.color, name).transpose(2, 0, 1) if datum.encoded else datum.array()

    def close(self) -> None:
        self.reader.close()
