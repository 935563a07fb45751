"""Pictures: decoding into BGR bytes as Caffe does, with a look at the header before any memory is spent."""

from __future__ import annotations

import functools
import os
import struct
import zlib
from typing import Any

import numpy as np

from layerforge.core.errors import DataError

MAX_PIXELS = 2**27  # 134 million: larger than any camera's picture, 400 MB in colour
MAX_FILE_BYTES = 2**28


@functools.cache
def opencv() -> Any:
    """OpenCV, loaded when the first picture is decoded, with a limit on pixels and without its warnings."""
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    import cv2

    return cv2


def read_file(name: str, folder: str = "") -> bytes:
    """A picture file's bytes; relative names as in `core.files.find_path`.

    Raises DataError when it is missing, unreadable or larger than MAX_FILE_BYTES.
    """
    tried = [name] if os.path.isabs(name) or not folder else [name, os.path.join(folder, name)]
    problem = ""
    for path in tried:
        try:
            with open(path, "rb") as file:
                if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
                    raise DataError(f"{path}: the picture file is larger than {MAX_FILE_BYTES >> 20} MiB")
                return file.read()
        except FileNotFoundError:
            problem = problem or "it does not exist"
        except OSError as error:
            problem = f"{error.strerror}"
    places = " or ".join(repr(path) for path in tried)
    raise DataError(f"the picture {places} cannot be read: {problem}",
                    hint="check root_folder and the list of pictures")


def inside(root: str, name: str) -> str:
    """The path of a name below the root folder.

    Raises DataError when the name leads out of it.
    """
    if root:
        folder = os.path.normpath(os.path.dirname(root) or ".")
        path = os.path.normpath(root + name)
        if os.path.relpath(path, folder).split(os.sep)[0] == os.pardir:
            raise DataError(f"{name!r} leads out of the root folder {root!r}", hint="name the files below it")
    return root + name


def read_image(name: str, color: bool | None = True) -> np.ndarray:
    """The picture in a file: (H, W, C) bytes, as `decode` gives them.

    Raises DataError naming the file.
    """
    return decode(read_file(name), color, name)


def decode(data: bytes | memoryview, color: bool | None, name: str) -> np.ndarray:
    """(H, W, C) bytes: 3 channels BGR with color=True, 1 with False, as many as the file has with None.

    Raises DataError naming the picture when it is broken, cut off, too large or not 8 bits deep.
    """
    check_picture(data, name)
    cv2 = opencv()
    flag = {True: cv2.IMREAD_COLOR, False: cv2.IMREAD_GRAYSCALE, None: cv2.IMREAD_UNCHANGED}[color]
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        raise DataError(f"{name} cannot be decoded: {error.err or 'OpenCV refuses it'}") from None
    if image is None or not image.size:
        raise DataError(f"{name} cannot be decoded: it is broken or no picture",
                        hint="open it in a viewer, or replace it")
    if image.dtype != np.uint8:
        raise DataError(f"{name} has {8 * image.itemsize} bits per channel, 8 are needed",
                        hint="convert it, or set force_color or force_gray")
    return image if image.ndim == 3 else image[:, :, None]


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture (H, W, C) in another size: bilinear on bytes without smoothing, as Caffe's."""
    if image.shape[:2] == (height, width):
        return image
    made = opencv().resize(image, (width, height))
    return made if made.ndim == 3 else made[:, :, None]


def check_picture(data: bytes | memoryview, name: str) -> None:
    """Raises DataError for a picture that is cut off or has more than MAX_PIXELS, from its header and end alone.

    OpenCV would fill what is missing with gray, or take memory for whatever the header says.
    """
    view = bytes(data[:32])
    size = None
    if view.startswith(b"\x89PNG\r\n\x1a\n"):
        size = struct.unpack(">II", view[16:24]) if len(view) >= 24 else None
        whole = _png_is_whole(memoryview(data), name)
    elif view.startswith(b"\xff\xd8"):
        size, scan = _jpeg(bytes(data))
        whole = bytes(data).rfind(b"\xff\xd9") > scan > 0
    else:
        whole = len(data) > 0
        if view.startswith(b"BM") and len(view) >= 26:
            size = tuple(map(abs, struct.unpack("<ii", view[18:26])))
        elif view.startswith((b"GIF87a", b"GIF89a")) and len(view) >= 10:
            size = struct.unpack("<HH", view[6:10])
    if not whole:
        raise DataError(f"{name} is cut off: the picture's end is missing", hint="copy the file again, or leave it out")
    if size is not None and size[0] * size[1] > MAX_PIXELS:
        raise DataError(f"{name} says it has {size[0]} × {size[1]} pixels, at most {MAX_PIXELS} are taken")


def _png_is_whole(data: memoryview, name: str) -> bool:
    """Whether the chunks go on to the last one.

    Raises DataError when a chunk of pixels, sizes or colours differs from its checksum.
    """
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, end = bytes(data[at + 4 : at + 8]), at + 12 + length
        if end > len(data):
            return False
        if kind[:1].isupper() and zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise DataError(f"{name} is broken: its {kind.decode('latin-1')} chunk differs from its checksum")
        if kind == b"IEND":
            return True
        at = end
    return False


def _jpeg(data: bytes) -> tuple[tuple[int, int] | None, int]:
    """(width, height) and where the first scan starts, 0 when there is none."""
    size, at, end = None, 2, len(data)
    while at + 4 <= end and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and at + 9 <= end:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            size = width, height
        if marker == 0xDA:
            return size, at
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return size, 0
