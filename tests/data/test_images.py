"""Pictures decoded, resized, and refused when broken."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from layerforge.core.errors import DataError
from layerforge.data.images import decode, read_file, resize


def picture(h=12, w=9):
    y, x = np.mgrid[:h, :w]
    return np.stack([10 * x, 10 * y, 5 * (x + y)], axis=2).astype(np.uint8)


def encoded(kind=".png", image=None):
    return cv2.imencode(kind, picture() if image is None else image)[1].tobytes()


def test_pictures_are_bgr():
    np.testing.assert_array_equal(decode(encoded(), True, "p"), picture())


def test_gray_has_one_channel():
    assert decode(encoded(), False, "p").shape == (12, 9, 1)
    gray = encoded(image=picture()[:, :, 0])
    assert decode(gray, None, "p").shape == (12, 9, 1) and decode(gray, True, "p").shape == (12, 9, 3)


def test_resizing_keeps_the_channels():
    assert resize(picture(), 5, 4).shape == (5, 4, 3) and resize(picture()[:, :, :1], 5, 4).shape == (5, 4, 1)


@pytest.mark.parametrize("kind", [".jpg", ".png", ".bmp"])
@pytest.mark.parametrize("keep", [0, 1, 10, 40, 0.5])
def test_a_cut_off_picture_is_named(kind, keep):
    data = encoded(kind)
    with pytest.raises(DataError, match=r"^list: 'p\.jpg'"):
        decode(data[: int(keep * len(data)) if keep < 1 else keep], True, "list: 'p.jpg'")


def test_a_png_with_changed_pixels_is_named():
    data = bytearray(encoded())
    data[data.index(b"IDAT") + 30] ^= 1
    with pytest.raises(DataError, match="its IDAT chunk differs from its checksum"):
        decode(bytes(data), True, "p")


def test_bytes_behind_a_jpeg_do_not_matter():
    assert decode(encoded(".jpg") + bytes(100), True, "p").shape == (12, 9, 3)


def test_noise_is_no_picture():
    with pytest.raises(DataError, match="broken or no picture"):
        decode(b"nothing that is a picture" * 9, True, "p")


def test_a_png_bomb_is_refused_from_its_header():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(DataError, match="60000 × 60000 pixels"):
        decode(bomb, True, "p")


def test_a_jpeg_bomb_is_refused_from_its_header():
    data = encoded(".jpg")
    at = data.index(b"\xff\xc0")
    with pytest.raises(DataError, match="65000 × 64000 pixels"):
        decode(data[: at + 5] + struct.pack(">HH", 64000, 65000) + data[at + 9 :], True, "p")


def test_sixteen_bits_are_refused():
    data = encoded(image=picture().astype(np.uint16) * 200)
    with pytest.raises(DataError, match="16 bits per channel"):
        decode(data, None, "p")
    assert decode(data, True, "p").dtype == np.uint8


def test_a_missing_file_is_named_with_both_places(tmp_path):
    with pytest.raises(DataError, match=r"'no\.jpg' or '.*no\.jpg' cannot be read: it does not exist"):
        read_file("no.jpg", str(tmp_path))
