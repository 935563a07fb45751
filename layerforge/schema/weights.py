"""Weights in binary files, through a message of three fields: name, type and blobs.

    WeightsNet    { name = 1; layers = 2 (second and first format); layer = 100 }
    WeightsLayer  { name, type, blobs }      Blob { shape or four old numbers, data or double_data or raw_data, diff }

All other fields are skipped on the wire: one fork's field 148 is another's clip_param, and must not fail the file.
Arrays are views into the bytes that were read.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from layerforge.core.errors import DataError
from layerforge.schema import wire
from layerforge.schema.kinds import message_kind
from layerforge.schema.upgrade import TYPES
from layerforge.schema.upgrade_v0 import TYPES as V0_TYPES
from layerforge.schema.wire import Item, WireError, walk

MAX_AXES = 32
_FLOAT, _DOUBLE = np.dtype("<f4"), np.dtype("<f8")
_RAW = {0: "<f8", 1: "<f4", 2: "<f2", 3: "<i4", 4: "<u4", 5: "|b1"}


class Layout(NamedTuple):
    """Where a format's layers keep what is read."""

    name: int
    type: int
    blobs: int


_LAYER, _V1, _V0 = Layout(1, 2, 7), Layout(4, 5, 6), Layout(1, 2, 50)


@dataclass(slots=True)
class LayerWeights:
    """The blobs of one layer.

    blobs   arrays in their shapes and stored number types, read-only; None where another layer keeps the shared blob
    legacy  for each blob, whether its shape is the four old numbers, of which leading ones mean nothing
    diffs   the gradients, where the file has them
    definition  the layer's other fields in wire format, to be written along as Caffe does; never read back
    """

    name: str
    type: str = ""
    blobs: list[np.ndarray | None] = field(default_factory=list)
    legacy: list[bool] = field(default_factory=list)
    diffs: list[np.ndarray] = field(default_factory=list)
    definition: bytes = b""


def read_caffemodel(path: str | os.PathLike[str]) -> list[LayerWeights]:
    """All layers of a binary weights file, in its order, those without blobs too.

    Raises DataError when the file is missing, cut off, or of another kind.
    """
    data = read_bytes(path)
    return parse_caffemodel(data, os.fspath(path))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file. Raises DataError when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise DataError(f"{os.fspath(path)} cannot be read: {error.strerror or error}") from None


def parse_caffemodel(data: bytes, file: str) -> list[LayerWeights]:
    """The layers of the bytes of a binary NetParameter; `file` names them in messages.

    Raises DataError when the bytes are cut off or of another kind.
    """
    view = memoryview(data)
    try:
        items = (item for item in walk(view) if item.number in (2, 100) and item.kind == wire.BYTES)
        layers = [_layer(view, item, file) for item in items]
    except WireError as error:
        raise DataError(f"{file} is no whole .caffemodel of {len(data)} bytes: {error}", hint=_what_is(data)) from None
    if not layers:
        raise DataError(f"{file} holds no layers: a .caffemodel is expected", hint=_what_is(data))
    return layers


def _what_is(data: bytes) -> str:
    for start, kind in ((b"\x89HDF", "HDF5"), (b"\xff\xd8", "a JPEG"), (b"\x89PNG", "a PNG"), (b"PK", "a zip archive"),
                        (b"version https://git-lfs", "a pointer of git-lfs: fetch the file itself")):
        if data.startswith(start):
            return f"this is {kind}"
    if data and not data[:512].translate(None, bytes(range(32, 127)) + b"\r\n\t"):
        return "this is a text: the net goes to --model, weights are a file that training wrote"
    return "the file may be cut off; load it again, or compare its size with the original"


def _layer(data: memoryview, item: Item, file: str) -> LayerWeights:
    """One entry of the net: `layer`, or `layers` of the second format, which may hold one of the first."""
    layout = _LAYER if item.number == 100 else _V1
    found = LayerWeights("")
    for each in walk(data, item.start, item.end):
        if layout is _V1 and each.number == 1 and each.kind == wire.BYTES:
            for inner in walk(data, each.start, each.end):
                _take(found, data, inner, _V0, file)
        else:
            _take(found, data, each, layout, file)
    return found


def _take(found: LayerWeights, data: memoryview, item: Item, layout: Layout, file: str) -> None:
    if item.kind == wire.VARINT and layout is _V1 and item.number == layout.type:
        found.type = _v1_type(item.value)
    if item.kind != wire.BYTES:
        return
    if item.number == layout.name:
        found.name = _text(data, item)
    elif item.number == layout.type:
        text = _text(data, item)
        found.type = TYPES.get(V0_TYPES.get(text, ""), text) if layout is _V0 else text
    elif item.number == layout.blobs:
        blob = parse_blob(data, item.start, item.end, f"{file}: layer {found.name!r}: blob {len(found.blobs)}")
        found.blobs.append(blob.data)
        found.legacy.append(blob.legacy)
        if blob.diff is not None:
            found.diffs.append(blob.diff)


def _text(data: memoryview, item: Item) -> str:
    return bytes(data[item.start : item.end]).decode("utf-8", "replace")


def _v1_type(number: int) -> str:
    values = message_kind("V1LayerParameter").fields["type"].values or {}
    return next((TYPES[name] for name, known in values.items() if known == number), "")


class BlobData(NamedTuple):
    """One array of a file."""

    data: np.ndarray
    legacy: bool
    diff: np.ndarray | None = None


def parse_blob(data: memoryview, start: int, end: int, owner: str) -> BlobData:
    """A BlobProto in the span. The memory it costs is that of the bytes that are there, whatever its shape says.

    Raises WireError where the bytes end early, DataError when shape and number of values differ.
    """
    runs: dict[int, list[Item]] = {}
    for item in walk(data, start, end):
        if item.number in (5, 6, 8, 9) and item.kind in (wire.BYTES, wire.FOUR, wire.EIGHT) or item.number in (12, 13):
            runs.setdefault(item.number, []).append(item)
        elif item.number in (1, 2, 3, 4, 7, 10, 11):
            runs.setdefault(item.number, []).append(item)
    shape, legacy = _shape(data, runs, owner)
    values = _values(data, runs, (5, 8, 12, 10), math.prod(shape))
    if values is None:
        return BlobData(np.zeros(0, _FLOAT), legacy)  # only a shape: nobody can take it
    if values.size != math.prod(shape):
        raise DataError(f"{owner} of shape {shape} has {values.size} values, {math.prod(shape)} are needed",
                        hint="the file is damaged, or was not written by Caffe")
    diff = _values(data, runs, (6, 9, 13, 11), math.prod(shape))
    fits = diff is not None and diff.size == values.size
    return BlobData(values.reshape(shape), legacy, diff.reshape(shape) if diff is not None and fits else None)


def _shape(data: memoryview, runs: dict[int, list[Item]], owner: str) -> tuple[tuple[int, ...], bool]:
    if 7 not in runs and any(number in runs for number in (1, 2, 3, 4)):
        shape = tuple(wire.signed(runs[n][-1].value) if n in runs else 0 for n in (1, 2, 3, 4))
        legacy = True
    else:
        spans = [(item.start, item.end) for item in runs.get(7, ())]
        dims = [each for span in spans for each in walk(data, *span) if each.number == 1]
        shape, legacy = wire.integers(data, dims, MAX_AXES), False
    if any(n < 0 for n in shape):
        raise DataError(f"{owner} has the shape {shape}", hint="the file is damaged")
    return shape, legacy


def _values(data: memoryview, runs: dict[int, list[Item]], fields: Sequence[int], count: int) -> np.ndarray | None:
    """The numbers of data or diff: single, double, or NVCaffe's raw bytes with their type."""
    single, double, raw, raw_type = fields
    if runs.get(double):
        return wire.numbers(data, runs[double], _DOUBLE)
    if runs.get(single):
        return wire.numbers(data, runs[single], _FLOAT)
    if runs.get(raw):
        item = runs[raw][-1]
        by_size = {2 * count: "<f2", 4 * count: "<f4", 8 * count: "<f8"}.get(item.end - item.start, "<f4")
        kind = _RAW.get(runs[raw_type][-1].value, by_size) if raw_type in runs else by_size
        return wire.numbers(data, [item], np.dtype(kind))
    return np.zeros(0, _FLOAT) if count == 0 else None


# --- writing

Chunks = Iterator[bytes | memoryview]


def caffemodel_chunks(name: str, layers: Sequence[LayerWeights]) -> Chunks:
    """The bytes of a .caffemodel as real Caffe reads it, piece by piece: nothing is copied whole."""
    yield wire.put_bytes(1, name)
    for layer in layers:
        yield from _message(100, functools.partial(_layer_chunks, layer))


def blob_chunks(values: np.ndarray, diff: np.ndarray | None = None, legacy: bool = False) -> Chunks:
    """A BlobProto: double precision as double_data, everything else as float; legacy: the shape as four old numbers."""
    dims = b"".join(wire.put_varint(n) for n in values.shape)
    if legacy:
        yield b"".join(wire.put_int(i, n) for i, n in enumerate(values.shape, 1))
    number = 0 if values.dtype != np.float64 else 3
    for field_number, array in ((5, values), (6, diff)):
        if array is not None:
            plain = np.ascontiguousarray(array, _DOUBLE if number else _FLOAT)
            yield wire.put_head(field_number + number, plain.nbytes)
            yield plain.reshape(-1).view(np.uint8).data
    if not legacy:
        yield wire.put_bytes(7, wire.put_bytes(1, dims) if dims else b"")


def _layer_chunks(layer: LayerWeights) -> Chunks:
    yield wire.put_bytes(1, layer.name)
    yield wire.put_bytes(2, layer.type)
    yield layer.definition
    for i, values in enumerate(layer.blobs):
        if values is not None:
            diff = layer.diffs[i] if i < len(layer.diffs) else None
            legacy = i < len(layer.legacy) and layer.legacy[i]
            yield from _message(7, functools.partial(blob_chunks, values, diff, legacy))


def _message(number: int, chunks: Callable[[], Chunks]) -> Chunks:
    """A nested message; its chunks are made twice, first for their length."""
    yield wire.put_head(number, sum(len(chunk) for chunk in chunks()))
    yield from chunks()
