"""Augmentation in the TRAIN phase: rotation, random resized crops, colour jitter; each record has its own draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from layerforge.core.errors import DataError
from layerforge.core.random import Stream
from layerforge.data.images import opencv
from layerforge.netdef.params import Params, field

FIRST_DRAW = 1 << 62  # of the transformer's stream; the draws below are those of crops and mirrors
TRIES = 10  # at a window that fits, before the largest one in the middle is taken


class ResizedCropParams(Params):
    area_lower: float = field(float, 0.08, above=0, at_most=1, doc="the least share of the picture's area")
    area_upper: float = field(float, 1.0, above=0, at_most=1, doc="the greatest share")
    aspect_lower: float = field(float, 0.75, above=0, doc="the least width / height of the window")
    aspect_upper: float = field(float, 1.3333334, above=0, doc="the greatest")


class DistortionParams(Params):
    brightness_prob: float = field(float, 0.0, at_least=0, at_most=1, doc="how probably the brightness is changed")
    brightness_delta: float = field(float, 0.0, at_least=0, doc="by at most so much up or down, of 255")
    contrast_prob: float = field(float, 0.0, at_least=0, at_most=1, doc="how probably values are multiplied")
    contrast_lower: float = field(float, 0.0, at_least=0, doc="by at least so much")
    contrast_upper: float = field(float, 0.0, at_least=0, doc="by at most so much")
    hue_prob: float = field(float, 0.0, at_least=0, at_most=1, doc="how probably the hue is turned")
    hue_delta: float = field(float, 0.0, at_least=0, at_most=180, doc="by at most so much either way, of 180")
    saturation_prob: float = field(float, 0.0, at_least=0, at_most=1, doc="how probably the saturation is multiplied")
    saturation_lower: float = field(float, 0.0, at_least=0, doc="by at least so much")
    saturation_upper: float = field(float, 0.0, at_least=0, doc="by at most so much")
    random_order_prob: float = field(float, 0.0, at_least=0, at_most=1, doc="how probably channels change places")


class Augmenter:
    """Turns, cuts out and colours pictures (H, W, C); a mean picture goes along, but is not coloured.

    stream    record n draws from its draw FIRST_DRAW + n, whatever was read before it
    degrees   rotation by at most so much either way; what comes in from outside is the picture mirrored at its edge
    crop      the window of a random resized crop, or None
    size      the side of what a resized crop becomes
    distort   colour jitter as in SSD, or None

    Raises DataError for bounds that contradict one another.
    """

    def __init__(
        self, stream: Stream, degrees: float, crop: ResizedCropParams | None, size: int,
        distort: DistortionParams | None,
    ) -> None:
        self.stream, self.degrees, self.crop, self.size, self.distort = stream, degrees, crop, size, distort
        for params, name in ((crop, "area"), (crop, "aspect"), (distort, "contrast"), (distort, "saturation")):
            if params is not None and getattr(params, f"{name}_upper") < getattr(params, f"{name}_lower"):
                raise DataError(f"{name}_upper: {getattr(params, f'{name}_upper'):g} is below {name}_lower: "
                                f"{getattr(params, f'{name}_lower'):g}", where=params.where(f"{name}_upper"))
        if crop is not None and not size:
            raise DataError("resized_crop_param needs a crop_size, the side of what is cut out",
                            where=crop.where("area_lower"))

    def generator(self, record: int) -> np.random.Generator:
        """The draws of a record."""
        return self.stream.at(FIRST_DRAW + record)

    def turn(self, image: np.ndarray, degrees: float) -> np.ndarray:
        """The picture rotated around its middle."""
        if not degrees:
            return image
        cv2 = opencv()
        height, width = image.shape[:2]
        turned = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
        return _three_axes(cv2.warpAffine(image, turned, (width, height), flags=cv2.INTER_LINEAR,
                                          borderMode=cv2.BORDER_REFLECT_101))

    def window(self, height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice]:
        """(rows, columns) of a window with a random share of the area and a random aspect."""
        p = self.crop
        assert p is not None
        for _ in range(TRIES):
            area = rng.uniform(p.area_lower, p.area_upper) * height * width
            aspect = np.exp(rng.uniform(np.log(p.aspect_lower), np.log(p.aspect_upper)))
            w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
                return slice(top, top + h), slice(left, left + w)
        aspect = min(max(width / height, p.aspect_lower), p.aspect_upper)
        h, w = max(1, min(height, round(width / aspect))), max(1, min(width, round(height * aspect)))
        top, left = (height - h) // 2, (width - w) // 2
        return slice(top, top + h), slice(left, left + w)

    def fit(self, image: np.ndarray) -> np.ndarray:
        """A window in the size of the crop: averaged when it shrinks, bilinear when it grows."""
        cv2 = opencv()
        shrinks = min(image.shape[:2]) > self.size
        mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return _three_axes(cv2.resize(np.ascontiguousarray(image), (self.size, self.size), interpolation=mode))

    def colour(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The picture (bytes) with its colours changed: contrast second or last, as in SSD."""
        p = self.distort
        if p is None:
            return image
        if image.dtype != np.uint8:
            raise DataError("distort_param needs pictures of bytes, not floats", where=p.where("brightness_prob"))
        contrast_last = rng.random() < 0.5
        image = self._shift(image, rng)
        image = image if contrast_last else self._contrast(image, rng)
        image = self._saturation_and_hue(image, rng)
        image = self._contrast(image, rng) if contrast_last else image
        if rng.random() < p.random_order_prob:
            image = image[:, :, rng.permutation(image.shape[2])]
        return image

    def _shift(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        p: Any = self.distort
        chance, delta = rng.random(), rng.uniform(-1, 1) * p.brightness_delta
        return _bytes(image.astype(np.float32) + np.float32(delta)) if chance < p.brightness_prob else image

    def _contrast(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        p: Any = self.distort
        chance, factor = rng.random(), rng.uniform(p.contrast_lower, p.contrast_upper)
        return _bytes(image * np.float32(factor)) if chance < p.contrast_prob else image

    def _saturation_and_hue(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        p: Any = self.distort
        chance, factor = rng.random(), rng.uniform(p.saturation_lower, p.saturation_upper)
        hue_chance, turn = rng.random(), rng.uniform(-1, 1) * p.hue_delta
        saturates, turns = chance < p.saturation_prob, hue_chance < p.hue_prob
        if image.shape[2] != 3 or not (saturates or turns):
            return image  # gray has neither
        cv2 = opencv()
        hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2HSV)  # hue 0 … 179
        if saturates:
            hsv[:, :, 1] = _bytes(hsv[:, :, 1] * np.float32(factor))
        if turns:
            hsv[:, :, 0] = (hsv[:, :, 0].astype(np.int32) + round(turn)) % 180
        return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR))


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _three_axes(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 3 else image[:, :, None]
