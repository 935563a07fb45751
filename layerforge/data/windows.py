"""Batches of windows cut out of pictures: a share of them on objects, the rest on background (as R-CNN trains)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from layerforge.core.errors import DataError
from layerforge.core.random import Stream
from layerforge.data.images import MAX_PIXELS, decode, inside, read_file, resize
from layerforge.data.source import Batch, Position
from layerforge.data.transform import Transformer


class Window(NamedTuple):
    """A box of a picture, ends included, with its class (0: background)."""

    picture: int
    label: int
    box: tuple[int, int, int, int]  # x1, y1, x2, y2


class WindowList(NamedTuple):
    """The pictures of a window file, and their windows by the overlap with an object."""

    pictures: list[str]
    channels: int
    foreground: list[Window]
    background: list[Window]


def read_window_list(path: str, foreground: float, background: float) -> WindowList:
    """Reads a window file: for each picture `# index`, name, channels, height, width, number of windows, and for each
    of these class, overlap, x1, y1, x2, y2.

    foreground, background   windows with an overlap of at least / less than this count as such; others are left out
    Raises DataError with what stands wrong, and for a list that lacks foreground or background.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            words = iter(file.read().split())
    except OSError as error:
        raise DataError(f"the window file {path!r} cannot be read: {error.strerror}") from None
    made = WindowList([], 3, [], [])
    channels = 0
    try:
        while (mark := next(words, None)) is not None:
            if mark != "#":
                raise ValueError(f"{mark!r} where '#' and a picture's number are expected")
            channels = _read_picture(words, made, foreground, background)
    except StopIteration:
        raise DataError(f"the window file {path!r} is cut off behind picture {len(made.pictures) - 1}") from None
    except ValueError as error:
        place = f"behind picture {len(made.pictures) - 1}"
        raise DataError(f"the window file {path!r} is broken {place}: {error}") from None
    for name, windows in (("foreground", made.foreground), ("background", made.background)):
        if not windows:
            raise DataError(f"the window file {path!r} has no {name} windows",
                            hint="check fg_threshold and bg_threshold")
    return made._replace(channels=channels)


def _read_picture(words: Iterator[str], made: WindowList, foreground: float, background: float) -> int:
    """Takes one picture's words; returns its channels."""
    int(next(words))  # the picture's number; its place in the file is what counts
    made.pictures.append(next(words))
    channels, _, _, count = int(next(words)), int(next(words)), int(next(words)), int(next(words))
    for _ in range(count):
        label, overlap = int(next(words)), float(next(words))
        box = int(next(words)), int(next(words)), int(next(words)), int(next(words))
        window = Window(len(made.pictures) - 1, label, box)
        if overlap >= foreground:
            if label < 1:
                raise ValueError(f"a foreground window of class {label}")
            made.foreground.append(window)
        elif overlap < background:
            made.background.append(window._replace(label=0))
    return channels


class WindowSource:
    """(N, C, crop, crop) windows and (N,) classes: first background, then foreground, drawn by chance.

    fraction   the share of foreground windows in a batch
    context    pixels of surroundings around a window, counted after warping
    square     takes the tightest square around a window
    draws      which windows; record n has its own draw
    """

    def __init__(
        self, windows: WindowList, batch_size: int, transformer: Transformer, draws: Stream, *, fraction: float = 0.25,
        context: int = 0, square: bool = False, scale: float = 1.0, root: str = "", folder: str = "",
        cache: bool = False,
    ) -> None:
        self.windows, self.batch_size, self.transformer, self.draws = windows, batch_size, transformer, draws
        self.foreground = int(np.float32(batch_size) * np.float32(fraction))
        self.context, self.square, self.scale, self.root, self.folder = context, square, scale, root, folder
        self.crop = transformer.params.crop_size
        self._files = {i: self._bytes(i) for i in range(len(windows.pictures))} if cache else {}
        self._record = 0

    def shapes(self) -> list[tuple[int, ...]]:
        return [(self.batch_size, self.windows.channels, self.crop, self.crop), (self.batch_size,)]

    def tell(self) -> Position:
        return {"record": self._record}

    def seek(self, position: Position) -> None:
        self._record = int(position["record"])

    def read(self) -> tuple[int, Position]:
        first = self._record
        self._record += self.batch_size
        return first, self.tell()

    def make(self, raw: tuple[int, Position]) -> Batch:
        first, after = raw
        data, labels = (np.zeros(shape, self.transformer.dtype) for shape in self.shapes())
        for i in range(self.batch_size):
            bits = self.draws.at(first + i).integers(0, 2**32, 2, np.uint32)
            windows = self.windows.background if i < self.batch_size - self.foreground else self.windows.foreground
            window = windows[int(bits[0]) % len(windows)]
            labels[i] = window.label
            self._place(window, self.transformer.params.mirror and bool(bits[1] & 1), data[i])
        return Batch((data, labels), after)

    def _bytes(self, picture: int) -> bytes:
        return read_file(inside(self.root, self.windows.pictures[picture]), self.folder)

    def _place(self, window: Window, mirrored: bool, out: np.ndarray) -> None:
        """Cuts the window out, warps it and puts it, less the mean, into its place in `out`; the rest stays 0."""
        name = self.root + self.windows.pictures[window.picture]
        data = self._files.get(window.picture) or self._bytes(window.picture)
        image = decode(data, True, name)
        if len(out) != image.shape[2]:
            raise DataError(f"{name} has {image.shape[2]} channels, the window file says {len(out)}")
        (x1, y1, x2, y2), (height, width), top, left = self._region(window.box, image.shape, mirrored)
        if not (0 <= x1 <= x2 < image.shape[1] and 0 <= y1 <= y2 < image.shape[0]) or height < 1 or width < 1:
            size = f"{image.shape[1]} × {image.shape[0]}"
            raise DataError(f"{name}: the window {window.box} is not inside the picture ({size})")
        warped = resize(image[y1 : y2 + 1, x1 : x2 + 1], height, width)
        if mirrored:
            warped = warped[:, ::-1]
        place = out[:, top : top + height, left : left + width]
        np.copyto(place, warped.transpose(2, 0, 1))
        mean = self.transformer.mean
        if mean is not None and self.transformer.params.mean_file:
            spare = (mean.shape[2] - self.crop) // 2
            mean = mean[:, spare + top : spare + top + height, spare + left : spare + left + width]
        if mean is not None:
            place -= mean
        place *= self.transformer.dtype.type(self.scale)

    def _region(
        self, box: tuple[int, int, int, int], shape: tuple[int, ...], mirrored: bool
    ) -> tuple[tuple[int, int, int, int], tuple[int, int], int, int]:
        """(the box within the picture, its size after warping, rows above it, columns before it).

        The box grows by the context, and to a square; what then lies outside of the picture is padding.
        """
        if not self.context and not self.square:
            return box, (self.crop, self.crop), 0, 0
        crop = self.crop
        x1, y1, x2, y2 = grow(box, crop / (crop - 2 * self.context), self.square)
        if (x2 - x1 + 1) * (y2 - y1 + 1) > MAX_PIXELS:
            raise DataError(f"the window {box} is larger than any picture")
        rows, columns = y2 - y1 + 1, x2 - x1 + 1  # before it is clipped
        before_x, before_y = max(0, -x1), max(0, -y1)
        behind_x, behind_y = max(0, x2 - shape[1] + 1), max(0, y2 - shape[0] + 1)
        x1, y1, x2, y2 = x1 + before_x, y1 + before_y, x2 - behind_x, y2 - behind_y
        scale_x, scale_y = crop / columns, crop / rows
        top, left = rounded(before_y * scale_y), rounded((behind_x if mirrored else before_x) * scale_x)
        height = min(rounded((y2 - y1 + 1) * scale_y), crop - top)
        width = min(rounded((x2 - x1 + 1) * scale_x), crop - left)
        return (x1, y1, x2, y2), (height, width), top, left

    def close(self) -> None:
        """Holds nothing open."""


def grow(box: tuple[int, int, int, int], scale: float, square: bool) -> tuple[int, int, int, int]:
    """The box scaled around its centre, or around it the square of its longer side."""
    x1, y1, x2, y2 = box
    half_width, half_height = (x2 - x1 + 1) / 2, (y2 - y1 + 1) / 2
    centre_x, centre_y = x1 + half_width, y1 + half_height
    if square:
        half_width = half_height = max(half_width, half_height)
    return (rounded(centre_x - half_width * scale), rounded(centre_y - half_height * scale),
            rounded(centre_x + half_width * scale), rounded(centre_y + half_height * scale))


def rounded(value: float) -> int:
    """To the nearest whole number, halves away from zero, as C rounds."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))
