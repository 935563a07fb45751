"""Picture files → records of a database, as Caffe's convert_imageset makes them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from layerforge.core import threads
from layerforge.core.errors import DataError
from layerforge.data.datum import make_datum, make_float_datum
from layerforge.data.image_list import ImageList
from layerforge.data.images import decode, inside, opencv, read_file, resize
from layerforge.data.portions import Record

T = TypeVar("T")
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
AHEAD = 4  # pictures read ahead for each thread: they may be large


@dataclass(frozen=True)
class Conversion:
    """How a picture becomes a record.

    root         put before every name; names may not lead out of its folder
    height, width  what pictures are resized to, when both are set
    color        3 channels (BGR), or one
    encode_type  the ending of the format that is stored; "" stores pixels, "?" the format of the file
    """

    root: str = ""
    height: int = 0
    width: int = 0
    color: bool = True
    encode_type: str = ""

    def record(self, name: str, label: int) -> tuple[bytes, tuple[int, ...] | None]:
        """The record of a file, and its shape (H, W, C) where the pixels were looked at.

        Raises DataError when the file is missing, broken, or outside of the root folder.
        """
        path = inside(self.root, name)
        data = read_file(path)
        image = decode(data, self.color, path)
        if self.height and self.width:
            image = resize(image, self.height, self.width)
        if not self.encode_type:
            return make_datum(image.transpose(2, 0, 1), label), image.shape
        own = os.path.splitext(name)[1][1:].lower()
        kind = own if self.encode_type == "?" else self.encode_type.lower()
        if self.color and not (self.height and self.width) and _same_kind(kind, own):
            return make_datum(data, label, encoded=True), image.shape  # the file itself, as Caffe does
        return make_datum(_encode(image, kind, path), label, encoded=True), image.shape


def _same_kind(a: str, b: str) -> bool:
    return ("jpg" if a == "jpeg" else a) == ("jpg" if b == "jpeg" else b)


def _encode(image: np.ndarray, kind: str, name: str) -> bytes:
    cv2 = opencv()
    try:
        done, data = cv2.imencode(f".{kind}", image)
    except cv2.error:
        done, data = False, None
    if not done:
        raise DataError(f"{name} cannot be stored as {kind!r}", hint="encode_type takes png, jpg, bmp, webp")
    return bytes(data)


def file_records(
    pictures: ImageList, conversion: Conversion, *, source: str = "", order: Sequence[int] | None = None,
    check_size: bool = False, broken: list[str] | None = None,
) -> Iterator[Record]:
    """Records under Caffe's keys: the number, eight digits wide, and the name.

    source      the list file, for errors
    order       which picture comes when; None: as listed
    check_size  all pictures must have the size of the first
    broken      takes the messages of pictures that cannot be read, which are left out; None: they are errors

    Raises DataError with the line of the list.
    """
    indices = range(len(pictures.names)) if order is None else order
    size: tuple[int, ...] | None = None

    def work(index: int) -> tuple[bytes, tuple[int, ...] | None] | DataError:
        try:
            label = pictures.labels[index]
            return conversion.record(pictures.names[index], label if isinstance(label, int) else 0)
        except DataError as error:
            return error

    for number, (index, made) in enumerate(_side_by_side(work, indices)):
        where = f"{source}:{pictures.lines[index]}" if pictures.lines else None
        if isinstance(made, DataError):
            if broken is None:
                raise DataError(made.message, where=where, hint=made.hint)
            broken.append(f"{where}: {made.message}" if where else made.message)
            continue
        record, shape = made
        size = size or shape
        if check_size and shape != size:
            raise DataError(f"{pictures.names[index]} has the size {shape}, the first picture {size}", where=where,
                            hint="resize them, or leave --check_size out")
        yield b"%08d_%s" % (number, os.fsencode(pictures.names[index])), record


def label_records(pictures: ImageList, keys: Iterable[bytes], order: Sequence[int] | None = None) -> Iterator[Record]:
    """Float records (labels, 1, 1) of the pictures that became the records of these keys, under the same keys."""
    for key in keys:
        number = int(key.split(b"_", 1)[0])
        labels = np.array(pictures.labels[number if order is None else order[number]], np.float32)
        yield key, make_float_datum(labels.reshape(-1, 1, 1))


def _side_by_side(work: Callable[[int], T], indices: Sequence[int]) -> Iterator[tuple[int, T]]:
    """(index, work(index)) in order; a few are worked on at once."""
    workers = min(4, threads.count())
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[tuple[int, Future[T]]] = deque()
        try:
            for index in indices:
                waiting.append((index, pool.submit(work, index)))
                if len(waiting) > AHEAD * workers:
                    first, future = waiting.popleft()
                    yield first, future.result()
            for first, future in waiting:
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def folder_list(root: str, test_every: int = 0) -> tuple[list[str], ImageList, ImageList]:
    """(classes, pictures, test pictures) of a folder root/class/picture.

    Classes are the folders with pictures, in the order of their names; test_every n takes every n-th picture of a class
    for the test.

    Raises DataError when there is no picture.
    """
    try:
        folders = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    except OSError as error:
        raise DataError(f"the folder {root!r} cannot be read: {error.strerror}") from None
    found = {}
    for folder in folders:
        names = sorted(f"{folder}/{name}" for name in os.listdir(os.path.join(root, folder))
                       if name.lower().endswith(ENDINGS) and not name.startswith("."))
        if names:
            found[folder] = names
    if not found:
        raise DataError(f"{root!r} has no pictures in folders of their classes",
                        hint=f"put them into {os.path.join(root, 'cat', '1.jpg')} and so on")
    parts: tuple[list[tuple[str, int]], list[tuple[str, int]]] = [], []
    for label, names in enumerate(found.values()):
        for i, name in enumerate(names):
            parts[bool(test_every) and i % test_every == test_every - 1].append((name, label))
    train, test = (ImageList([name for name, _ in part], [label for _, label in part]) for part in parts)
    return list(found), train, test
