"""Pictures on the device: decoded there, then cropped, mirrored, scaled and turned over by one kernel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from layerforge.backends.cupy.kernels import blocks
from layerforge.backends.cupy.layout import KINDS
from layerforge.core.errors import DeviceError

ROW = 6  # numbers of a picture, as transform.cu reads them


class Picture(NamedTuple):
    """Pixels (H, W, C), bytes, where the device reads them.

    address, pitch   of the first row, and from row to row, in bytes
    shape            (C, H, W), as sources have it
    rgb              red comes first, as decoders of the device give it
    """

    address: int
    pitch: int
    shape: tuple[int, int, int]
    rgb: bool


@dataclass
class Lot:
    """Pictures that were decoded together.

    pictures  where one was not decoded, None
    reasons   why not, "" where it was
    wait      lets the stream of the computation wait until they are there
    free      says that the work given to that stream until now is the last that reads them
    held      memory of pictures that were put there from the host
    """

    pictures: list[Picture | None]
    reasons: list[str]
    wait: Callable[[], None] = lambda: None
    free: Callable[[], None] = lambda: None
    held: list[Any] = field(default_factory=list)


class Codec(Protocol):
    """Decodes on the device, or puts what was decoded elsewhere there. Called on any thread, one at a time."""

    def decode(self, pictures: Sequence[bytes], oriented: bool) -> Lot:
        """oriented: turned as the camera was held, where the file says so."""

    def refuses(self, picture: bytes) -> str:
        """Why it does not decode this picture, from its header alone; "" if it may."""

    def upload(self, pixels: np.ndarray) -> tuple[int, Any]:
        """The address of a copy of the bytes on the device, and what keeps it."""


class DevicePictures:
    """The pictures of one device.

    opening  makes the codec when it is first asked for; raises DeviceError with the reason why there is none
    """

    def __init__(self, kernels: Any, memory: Any, opening: Callable[[], Codec]) -> None:
        self._kernels, self._memory, self._opening = kernels, memory, opening
        self._codec: Codec | None = None
        self._why: str | None = None
        self._turn = threading.Lock()  # one codec serves all data layers, whose threads are their own
        self._rows: Any = None

    def why_not(self) -> str:
        """Why nothing is decoded here, "" if it is."""
        with self._turn:
            if self._why is None:
                try:
                    self._codec, self._why = self._opening(), ""
                except DeviceError as error:
                    self._why = str(error).replace("\n  hint: ", " (") + (")" if error.hint else "")
        return self._why

    def refuses(self, picture: bytes) -> str:
        """Why the device does not decode this picture, from its header alone; "" if it may."""
        assert self._codec is not None, "ask why_not first"
        with self._turn:
            return self._codec.refuses(picture)

    def decode(self, pictures: Sequence[bytes], oriented: bool) -> Lot:
        """All that the device can decode; for the others the reason why it cannot."""
        assert self._codec is not None, "ask why_not first"
        with self._turn:
            return self._codec.decode(pictures, oriented)

    def put(self, lot: Lot, index: int, pixels: np.ndarray) -> None:
        """A picture that was decoded on the host, (H, W, C) bytes in Caffe's order of colours."""
        assert self._codec is not None
        height, width, channels = pixels.shape
        with self._turn:
            address, held = self._codec.upload(np.ascontiguousarray(pixels))
        lot.held.append(held)
        lot.pictures[index] = Picture(address, width * channels, (channels, height, width), rgb=False)

    def transform(
        self, lot: Lot, cuts: np.ndarray, shape: Sequence[int], target: Any, *, mean: Any = None, scale: float = 1.0,
        form: Any = None, dtype: Any = np.float32,
    ) -> None:
        """target[n] = scale (picture n - mean), cut and mirrored. Colours come out in Caffe's order.

        cuts    (N, 3): top, left, mirrored
        shape   (N, C, H, W) of what comes out
        mean    a view (C or 1, H or 1, W or 1) on the device, of the size before cropping
        form    of a channels-last target; None for plain order of this dtype
        """
        rows = np.array([(p.address, p.pitch, 0, 0, 0, p.rgb) for p in lot.pictures if p is not None], np.int64)
        rows[:, 2:5] = cuts
        if self._rows is None or self._rows.size < rows.size:
            self._rows = self._memory.zeros(rows.size, np.dtype(np.int64))
        room = self._rows[: rows.size]
        self._memory.from_host(rows.reshape(-1), room)
        samples, channels, height, width = shape
        steps = (0, 0, 0) if mean is None else _steps(mean.shape)
        padded, kind = (0, 0) if form is None else (form.padded, KINDS[form.kind][0])
        sizes = samples, channels, height, width, padded, kind, *steps
        lot.wait()
        self._kernels.launch("transform.cu", "transform", blocks(samples * height * width), room, mean, target, *sizes,
                             float(scale), dtype=dtype)
        lot.free()


def _steps(shape: Sequence[int]) -> tuple[int, int, int]:
    """From value to value of each axis of a contiguous array (C, H, W); 0 along axes of one value."""
    strides = shape[1] * shape[2], shape[2], 1
    return tuple(0 if size == 1 else step for size, step in zip(shape, strides))  # type: ignore[return-value]
