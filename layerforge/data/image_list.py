"""Batches from a list of picture files with labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from layerforge.core.errors import DataError
from layerforge.core.random import Stream
from layerforge.data.decoding import Compressed, Decoding, host_work, require_shape
from layerforge.data.images import decode, inside, read_file, resize
from layerforge.data.source import Batch, Position
from layerforge.data.transform import Transformer

MAX_LABEL = 2**31 - 1


class ImageList(NamedTuple):
    """Picture names and their labels, as a list file gives them; lines: where each stands.

    labels  a whole number each, or as many numbers each as the list has behind every name
    """

    names: Sequence[str]
    labels: Sequence[int] | Sequence[Sequence[float]]
    lines: Sequence[int] = ()


def read_image_list(path: str, count: int = 1) -> ImageList:
    """Reads lines of a name, a space and a label, which follows the last space; without one it is 0, as in Caffe.

    count  how many numbers, with spaces between, follow each name; from 2 on any numbers, and all must be there

    Raises DataError with the line for a label that is no whole number, and for an empty list.
    """
    names: list[str] = []
    labels: list[Any] = []
    lines: list[int] = []
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            for number, line in enumerate(file, 1):
                line = line.rstrip("\r\n")
                if not line.strip():
                    continue
                if count > 1:
                    name, numbers = _several(line, count, path, number)
                    names.append(name)
                    labels.append(numbers)
                    lines.append(number)
                    continue
                name, space, label = line.rpartition(" ")
                names.append(name if space else line)
                labels.append(_label(label, path, number) if space else 0)
                lines.append(number)
    except OSError as error:
        raise DataError(f"the list {path!r} cannot be read: {error.strerror}") from None
    if not names:
        raise DataError(f"the list {path!r} is empty", hint="write a line `name label` for each picture")
    return ImageList(names, labels, lines)


def _several(line: str, count: int, path: str, number: int) -> tuple[str, list[float]]:
    """The name and its numbers."""
    parts = line.rstrip().rsplit(" ", count)
    try:
        if len(parts) != count + 1 or not parts[0].strip():
            raise ValueError
        return parts[0].rstrip(), [float(part) for part in parts[1:]]
    except ValueError:
        raise DataError(f"a name and {count} numbers are needed, got {line!r}", where=f"{path}:{number}",
                        hint="labels: says how many numbers follow each name") from None


def _label(text: str, path: str, line: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise DataError(f"the label {text!r} is no whole number", where=f"{path}:{line}",
                        hint="the label follows the last space of the line") from None
    if not -MAX_LABEL <= value <= MAX_LABEL:
        raise DataError(f"the label {value} is out of range", where=f"{path}:{line}",
                        hint=f"labels go up to {MAX_LABEL}")
    return value


class ImageSource:
    """(N, C, H, W) pictures and (N,) labels of a list, around its end; (N, L) where each picture has L labels.

    size    (height, width) the pictures are resized to before they are transformed, or None
    root    put before every name
    order   the stream of the shuffle, drawn anew for every round; None keeps the list's order
    folder  where names are looked for after the working folder
    decoding  set when a device decodes the pictures
    """

    def __init__(
        self, pictures: ImageList, batch_size: int, transformer: Transformer, *, size: tuple[int, int] | None = None,
        color: bool = True, root: str = "", folder: str = "", order: Stream | None = None, skip: int = 0,
    ) -> None:
        self.pictures, self.batch_size, self.transformer, self.order = pictures, batch_size, transformer, order
        self.size, self.color, self.root, self.folder = size, color, root, folder
        self.decoding: Decoding | None = None
        self._record = skip
        self._round: tuple[Any, np.ndarray] = None, np.empty(0, int)

    def shapes(self) -> list[tuple[int, ...]]:
        image = self._load(self.pictures.names[self._index(self._record)])
        labels = np.shape(self.pictures.labels[0])
        return [(self.batch_size, *self.transformer.shape(*image.shape)), (self.batch_size, *labels)]

    def compressed(self) -> Compressed | str:
        if self.size is not None:
            return "new_height and new_width are set, and the CPU resizes"
        if not self.color:
            return "is_color is false"
        name = self.pictures.names[self._index(self._record)]
        return host_work(self.transformer) or Compressed(self._read(name), self.root + name, self.color)

    def tell(self) -> Position:
        return {"record": self._record, "of": len(self.pictures.names)}

    def seek(self, position: Position) -> None:
        if int(position["of"]) != len(self.pictures.names):
            raise DataError(f"the list has {len(self.pictures.names)} pictures, it had {position['of']}")
        self._record = int(position["record"])

    def read(self) -> tuple[int, list[int], Position]:
        first = self._record
        indices = [self._index(n) for n in range(first, first + self.batch_size)]
        self._record += self.batch_size
        return first, indices, self.tell()

    def _index(self, record: int) -> int:
        """Which picture is record number `record`, counted over all rounds."""
        number, index = divmod(record, len(self.pictures.names))
        if self.order is None:
            return index
        draw = self.order.key, number
        if self._round[0] != draw:
            self._round = draw, self.order.at(number).permutation(len(self.pictures.names))
        return int(self._round[1][index])

    def make(self, raw: tuple[int, list[int], Position]) -> Batch:
        number, indices, after = raw
        names = [self.pictures.names[index] for index in indices]
        labels = np.array([self.pictures.labels[index] for index in indices], self.transformer.dtype)
        if self.decoding is not None:
            pictures = [Compressed(self._read(name), self.root + name, self.color) for name in names]
            return Batch((self.decoding.batch(pictures, number), labels), after)
        out: Any = None
        for i, name in enumerate(names):
            x = self._load(name)
            if out is None:
                out = np.empty((len(indices), *self.transformer.shape(*x.shape)), self.transformer.dtype)
            require_shape(self.transformer, x.shape, out.shape[1:], self.root + name)
            self.transformer.one(x, number + i, out[i])
        return Batch((out, labels), after)

    def _read(self, name: str) -> bytes:
        return read_file(inside(self.root, name), self.folder)

    def _load(self, name: str) -> np.ndarray:
        """(C, H, W)"""
        image = decode(self._read(name), self.color, self.root + name)
        if self.size is not None:
            image = resize(image, *self.size)
        return image.transpose(2, 0, 1)

    def close(self) -> None:
        """Holds nothing open."""
