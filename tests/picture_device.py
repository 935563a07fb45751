"""A device whose decoder is OpenCV: what nvImageCodec does on a GPU, pixel for pixel what the CPU does."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from tape import TapeBackend

from layerforge.backends.cupy.pictures import DevicePictures, Lot, Picture
from layerforge.core.errors import DeviceError


def picture(height, width, seed=0):
    """A smooth picture (H, W, 3), so that JPEG hardly changes it."""
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return cv2.GaussianBlur(noise, (7, 7), 2)


def compressed(pixels, kind=".jpg"):
    return cv2.imencode(kind, pixels)[1].tobytes()


class OpenCvCodec:
    """Takes JPEG of three channels, as the GPU does; `fails` says of which bytes it gives no picture."""

    def __init__(self, fails=lambda data: False):
        self.fails, self.lots, self.log, self.stream = fails, 0, [], None

    def refuses(self, data):
        if not data.startswith(b"\xff\xd8"):
            return "it is a png, the GPU decodes jpeg"
        grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).ndim == 2
        return "it is grey" if grey else ""

    def decode(self, pictures, oriented):
        self.lots += 1
        lot = Lot([None] * len(pictures), [self.refuses(data) for data in pictures])
        for i, data in enumerate(pictures):
            if not lot.reasons[i] and self.fails(data):
                lot.reasons[i] = "nvImageCodec cannot decode it"
            if not lot.reasons[i]:
                flag = cv2.IMREAD_COLOR if oriented else cv2.IMREAD_UNCHANGED
                lot.pictures[i] = self.put(cv2.imdecode(np.frombuffer(data, np.uint8), flag), lot)
        lot.wait, lot.free = functools.partial(self.log.append, "wait"), self.free
        return lot

    def free(self):
        """The pictures go with the lot: the computation has to be done with them."""
        self.log.append("free")
        if self.stream is not None:
            self.stream.synchronize()

    @staticmethod
    def put(pixels, lot):
        """Red first, with a gap behind each row, as decoders leave it."""
        height, width, _ = pixels.shape
        room = np.full((height, 3 * width + 5), 99, np.uint8)
        room[:, : 3 * width] = pixels[:, :, ::-1].reshape(height, 3 * width)
        lot.held.append(room)
        return Picture(int(room.ctypes.data), room.shape[1], (3, height, width), rgb=True)

    def upload(self, pixels):
        held = pixels.copy()
        return int(held.ctypes.data), held


def picture_device(codec=None, why="", **named):
    """A TapeBackend that decodes; why: it has no codec, for this reason."""
    backend = TapeBackend(**named)

    def opening():
        if why:
            raise DeviceError(why, hint="pip install it")
        made = codec or OpenCvCodec()
        made.stream = backend.stream
        return made

    backend.pictures = DevicePictures(backend.ops.kernels, backend.representation, opening)
    return backend
