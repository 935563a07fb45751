"""Transformer: crop, mirror, mean and scale of pictures, as Caffe's, with draws that depend on the record alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from layerforge.core.errors import DataError
from layerforge.core.random import Stream
from layerforge.data.augment import Augmenter, DistortionParams, ResizedCropParams
from layerforge.netdef.params import Params, field
from layerforge.netdef.types import Phase

BLOCK = 1024  # records whose random numbers are drawn at once
CHUNK_VALUES = 2**16  # values transformed at once: they stay in the cache from one operation to the next


class TransformParams(Params, message="transform_param"):
    scale: float = field(float, 1.0, doc="what values are multiplied by, after the mean was subtracted")
    mirror: bool = field(bool, False, doc="mirrors every other picture, by chance, in both phases")
    crop_size: int = field(int, 0, at_least=0, doc="side of the square cut out, at random in TRAIN; 0: none")
    mean_file: str = field(str, "", doc="the mean picture (binaryproto), of the size before cropping")
    mean_value: tuple[float, ...] = field(float, repeated=True, doc="the mean, one for all channels or one for each")
    force_color: bool = field(bool, False, doc="decodes compressed pictures with 3 channels")
    force_gray: bool = field(bool, False, doc="decodes compressed pictures with 1 channel")
    decode: str = field(str, "AUTO", choices=("AUTO", "CPU", "GPU"),
                        doc="who decodes a GPU net's compressed pictures; AUTO: the GPU, with nvImageCodec installed")
    rotation_degrees: float = field(float, 0.0, at_least=0, at_most=180,
                                    doc="turns pictures by at most so much either way, in TRAIN")
    resized_crop_param: ResizedCropParams = field(
        ResizedCropParams, doc="cuts out a window of random size and shape and resizes it to crop_size, in TRAIN")
    distort_param: DistortionParams = field(DistortionParams, doc="changes colours at random, in TRAIN, as in SSD")

    @property
    def augments(self) -> bool:
        """Whether a field beyond Caffe's is set."""
        return self.rotation_degrees > 0 or self.resized_crop_param is not None or self.distort_param is not None


class Transformer:
    """y[c, i, j] = scale (x[c, top + i, left + j or its mirror] - mean[c, ...])

    params  what to do
    phase   crops are random in TRAIN and centred in TEST
    stream  random numbers: record n has its own, whatever was read before it
    mean    the mean file's picture (C, H, W), or None
    """

    def __init__(
        self, params: TransformParams, phase: Phase, stream: Stream, mean: np.ndarray | None = None,
        dtype: Any = np.float32,
    ) -> None:
        self.params, self.stream, self.dtype = params, stream, np.dtype(dtype)
        self.random_crop = phase == Phase.TRAIN and params.crop_size > 0
        self.mean = None if mean is None else np.ascontiguousarray(mean, dtype)
        if mean is None and params.mean_value:
            self.mean = np.array(params.mean_value, dtype).reshape(-1, 1, 1)  # (C or 1, 1, 1)
        self._blocks: dict[tuple[tuple[int, int], int], np.ndarray] = {}
        self.augmenter: Augmenter | None = None
        if phase == Phase.TRAIN and params.augments:
            self.augmenter = Augmenter(stream, params.rotation_degrees, params.resized_crop_param, params.crop_size,
                                       params.distort_param)

    @property
    def color(self) -> bool | None:
        """How compressed pictures are decoded: True colour, False gray, None as they are."""
        return True if self.params.force_color else False if self.params.force_gray else None

    @property
    def resizes(self) -> bool:
        """Whether windows of any size become crops."""
        return self.augmenter is not None and self.augmenter.crop is not None

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        """The shape after the transformation.

        Raises DataError when crop_size or the mean does not fit.
        """
        crop, mean = self.params.crop_size, self.mean
        if crop > min(height, width) and not self.resizes:
            raise DataError(f"crop_size: {crop}, but the picture has {height} × {width} pixels",
                            where=self.params.where("crop_size"))
        if mean is not None and mean.shape[1:] == (1, 1) and not self.params.mean_file:
            if len(mean) not in (1, channels):
                raise DataError(f"mean_value is given {len(mean)} times for {channels} channels",
                                where=self.params.where("mean_value"),
                                hint="give one for all channels or one for each")
        elif mean is not None and mean.shape != (channels, height, width):
            picture = channels, height, width
            raise DataError(f"the mean in {self.params.mean_file!r} is {_by(mean.shape)}, the picture {_by(picture)}",
                            where=self.params.where("mean_file"),
                            hint="the mean has the size of the pictures before cropping")
        return (channels, crop, crop) if crop else (channels, height, width)

    def batch(self, x: np.ndarray, record: int, out: np.ndarray) -> None:
        """Transforms records `record`, `record` + 1, … of one size.

        x    (N, C, H, W), any number type and strides
        out  (N, *shape(C, H, W))
        """
        p = self.params
        self.shape(*x.shape[1:])
        if self.random_crop or p.mirror or self.augmenter:
            for i in range(len(x)):
                self.one(x[i], record + i, out[i])
            return
        height, width = out.shape[2:]
        top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
        window = x[:, :, top : top + height, left : left + width]
        step = max(1, CHUNK_VALUES // max(1, out[0].size))
        for i in range(0, len(x), step):
            self._arithmetic(window[i : i + step], self._mean_window(top, left, height, width), out[i : i + step])

    def one(self, x: np.ndarray, record: int, out: np.ndarray) -> None:
        """Transforms one record, x (C, H, W), into out (*shape(C, H, W))."""
        if self.augmenter is not None:
            self._augmented(x, record, out, self.augmenter)
            return
        height, width = out.shape[1:]
        top, left, mirrored = self.draw(record, x.shape[1] - height, x.shape[2] - width)
        window, mean = x[:, top : top + height, left : left + width], self._mean_window(top, left, height, width)
        if mirrored:
            window, mean = window[:, :, ::-1], None if mean is None else mean[:, :, ::-1]
        self._arithmetic(window, mean, out)

    def _augmented(self, x: np.ndarray, record: int, out: np.ndarray, augmenter: Augmenter) -> None:
        """The same with rotation before, another window, and colours changed behind; the mean picture follows."""
        if len(x) > 4:
            raise DataError(f"pictures have at most 4 channels, these {len(x)}: they cannot be turned or resized")
        rng = augmenter.generator(record)
        pictures = [np.ascontiguousarray(x.transpose(1, 2, 0))]
        if self.mean is not None and self.params.mean_file:
            pictures.append(np.ascontiguousarray(self.mean.transpose(1, 2, 0), np.float32))
        degrees = rng.uniform(-1, 1) * augmenter.degrees
        rows, columns, mirrored = self._window(record, pictures[0].shape, out.shape, rng)
        pictures = [augmenter.turn(picture, degrees)[rows, columns] for picture in pictures]
        if self.resizes:
            pictures = [augmenter.fit(picture) for picture in pictures]
        pictures = [picture[:, ::-1] for picture in pictures] if mirrored else pictures
        image = augmenter.colour(pictures[0], rng)
        mean = pictures[1].transpose(2, 0, 1) if len(pictures) > 1 else self.mean
        self._arithmetic(image.transpose(2, 0, 1), mean, out)

    def _window(
        self, record: int, shape: tuple[int, ...], out: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[slice, slice, bool]:
        """(rows, columns, mirrored) of a record's window in a picture (H, W, C)."""
        height, width = shape[:2] if self.resizes else out[1:]
        top, left, mirrored = self.draw(record, shape[0] - height, shape[1] - width)
        if self.resizes and self.augmenter is not None:
            return *self.augmenter.window(height, width, rng), mirrored
        return slice(top, top + height), slice(left, left + width), mirrored

    def image(self, image: np.ndarray, record: int, out: np.ndarray) -> None:
        """Transforms a decoded picture (H, W, C)."""
        self.one(image.transpose(2, 0, 1), record, out)

    def draw(self, record: int, spare_rows: int, spare_columns: int) -> tuple[int, int, bool]:
        """(top, left, mirrored) of a record; spare: how many rows and columns the crop leaves over."""
        if not (self.random_crop or self.params.mirror):
            return spare_rows // 2, spare_columns // 2, False
        bits = self._bits(record // BLOCK)[record % BLOCK]
        mirrored = self.params.mirror and bool(bits[2] & 1)
        if not self.random_crop:
            return spare_rows // 2, spare_columns // 2, mirrored
        return int(bits[0]) % (spare_rows + 1), int(bits[1]) % (spare_columns + 1), mirrored

    def _bits(self, block: int) -> np.ndarray:
        """(BLOCK, 3) random words."""
        key = self.stream.key, block
        bits = self._blocks.get(key)
        if bits is None:
            bits = self.stream.at(block).integers(0, 2**32, (BLOCK, 3), np.uint32)
            if len(self._blocks) > 8:
                self._blocks = {}
            self._blocks[key] = bits
        return bits

    def _mean_window(self, top: int, left: int, height: int, width: int) -> np.ndarray | None:
        if self.mean is None or not self.params.mean_file:
            return self.mean
        return self.mean[:, top : top + height, left : left + width]

    def _arithmetic(self, x: np.ndarray, mean: np.ndarray | None, out: np.ndarray) -> None:
        np.copyto(out, x, casting="unsafe")
        if mean is not None:
            out -= mean
        if self.params.scale != 1:
            out *= self.dtype.type(self.params.scale)


def make_transformer(
    params: TransformParams, phase: Phase, stream: Stream, load_mean: Callable[[str], np.ndarray], dtype: Any
) -> Transformer:
    """A transformer after its parameters were held against one another.

    load_mean  reads the mean file of this name
    Raises DataError for parameters that contradict one another, and what load_mean raises.
    """
    if params.mean_file and params.mean_value:
        raise DataError("mean_file and mean_value are both given", where=params.where("mean_value"),
                        hint="keep one of them")
    if params.force_color and params.force_gray:
        raise DataError("force_color and force_gray are both set", where=params.where("force_gray"),
                        hint="keep one of them")
    mean = load_mean(params.mean_file) if params.mean_file else None
    return Transformer(params, phase, stream, mean, dtype)


def warn_raw(params: TransformParams) -> None:
    """Says, as Caffe does, that force_color and force_gray do nothing to records that are not compressed."""
    if params.force_color or params.force_gray:
        logging.getLogger("layerforge").warning("force_color and force_gray only count for encoded records")


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
