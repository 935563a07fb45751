"""caffe.Classifier and caffe.Detector: nets with the preparation of their pictures."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from layerforge.core.errors import DeviceError, NetError
from layerforge.pycaffe import io
from layerforge.pycaffe.modes import TEST
from layerforge.pycaffe.net import Net


class PictureNet(Net):
    """A net with one picture input and its Transformer."""

    def __init__(
        self, model_file: str, pretrained_file: str, mean: np.ndarray | None = None, input_scale: float | None = None,
        raw_scale: float | None = None, channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        if not self.inputs or len(self.blobs[self.inputs[0]].shape) != 4:
            raise NetError(f"{model_file} has no input of pictures (N, channels, height, width)",
                           hint="take the deploy.prototxt, whose data comes from an Input layer")
        name = self.inputs[0]
        self.transformer = transformer = io.Transformer({name: self.blobs[name].shape})
        transformer.set_transpose(name, (2, 0, 1))
        for setter, value in ((transformer.set_mean, mean), (transformer.set_input_scale, input_scale),
                              (transformer.set_raw_scale, raw_scale), (transformer.set_channel_swap, channel_swap)):
            if value is not None:
                setter(name, value)  # type: ignore[operator]

    def _outputs_for(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """The first output for pictures (H, W, K) of any size."""
        name = self.inputs[0]
        batch = np.stack([self.transformer.preprocess(name, picture) for picture in pictures])
        return self.forward_all(**{name: batch})[self.outputs[0]]


class Classifier(PictureNet):
    """Class probabilities of pictures.

    image_dims  (height, width) that pictures are scaled to before they are cropped; None: the net's input size
    """

    def __init__(
        self, model_file: str, pretrained_file: str, image_dims: Sequence[int] | None = None,
        mean: np.ndarray | None = None, input_scale: float | None = None, raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, pretrained_file, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = self.crop_dims if image_dims is None or not len(image_dims) else image_dims

    def predict(self, inputs: Sequence[np.ndarray], oversample: bool = True) -> np.ndarray:
        """(N, classes) for N pictures (H, W, K): the mean over ten crops, or the centre crop alone."""
        pictures = np.stack([io.resize_image(picture, self.image_dims) for picture in inputs])
        if oversample:
            crops = io.oversample(pictures, self.crop_dims)
            outputs = self._outputs_for(crops)
            return outputs.reshape(len(pictures), 10, -1).mean(1)
        (height, width), (h, w) = self.image_dims, self.crop_dims
        top, left = int(height / 2.0 - h / 2.0), int(width / 2.0 - w / 2.0)
        return self._outputs_for(pictures[:, top : top + h, left : left + w])


class Detector(PictureNet):
    """Predictions for windows of pictures.

    context_pad  how many pixels of the net's input around the window show what surrounds it, as in R-CNN
    """

    def __init__(
        self, model_file: str, pretrained_file: str, mean: np.ndarray | None = None, input_scale: float | None = None,
        raw_scale: float | None = None, channel_swap: Sequence[int] | None = None, context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, pretrained_file, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def configure_crop(self, context_pad: int | None) -> None:
        """Sets how many pixels around a window are shown."""
        self.context_pad = context_pad or 0

    def detect_selective_search(self, image_fnames: Sequence[str]) -> list[dict[str, Any]]:
        """Predictions for the windows that selective search proposes.

        Raises DeviceError when its package (with MATLAB behind it) is not installed.
        """
        try:
            search = importlib.import_module("selective_search_ijcv_with_python")
        except ImportError as error:
            raise DeviceError(f"selective search is missing: {error}",
                              hint="propose windows otherwise, and give them to detect_windows") from None
        windows = search.get_windows(list(image_fnames), cmd="selective_search_rcnn")
        return self.detect_windows(zip(image_fnames, windows))

    def detect_windows(self, images_windows: Iterable[tuple[str, Iterable[Sequence[int]]]]) -> list[dict[str, Any]]:
        """Predictions for (picture file, windows) pairs; a window is ymin, xmin, ymax, xmax.

        Returns one dict per window: window, prediction, filename.
        """
        found, crops = [], []
        for filename, windows in images_windows:
            picture = io.load_image(filename)
            for window in windows:
                crops.append(self.crop(picture, window))
                found.append({"window": window, "filename": filename})
        for entry, prediction in zip(found, self._outputs_for(crops) if crops else ()):
            entry["prediction"] = prediction
        return found

    def crop(self, im: np.ndarray, window: Sequence[int]) -> np.ndarray:
        """The window of a picture (H, W, K), and its surroundings if context_pad asks for them; outside is the mean."""
        y0, x0, y1, x1 = (int(v) for v in window)
        if not self.context_pad:
            return im[y0:y1, x0:x1]
        size = self.blobs[self.inputs[0]].shape[-1]  # the input is taken to be square
        grow = size / (size - 2.0 * self.context_pad)
        half = np.array([(y1 - y0 + 1) / 2.0, (x1 - x0 + 1) / 2.0])
        centre = np.array([y0, x0]) + half
        low, high = np.round(centre - grow * half).astype(int), np.round(centre + grow * half).astype(int)
        scale = size / (high - low + 1)
        before = np.round(np.maximum(0, -low) * scale).astype(int)  # input pixels outside the picture
        low, high = np.clip(low, 0, im.shape[:2]), np.clip(high, 0, im.shape[:2])
        inside = np.minimum(np.round((high - low + 1) * scale).astype(int), size - before)
        canvas = np.empty((size, size, im.shape[2]), np.float32)
        canvas[...] = self._outside(im.shape[2])
        part = io.resize_image(im[low[0] : high[0], low[1] : high[1]], inside)
        canvas[before[0] : before[0] + inside[0], before[1] : before[1] + inside[1]] = part
        return canvas

    def _outside(self, channels: int) -> np.ndarray:
        """The mean as a picture before preprocessing: (H, W, K) or (1, 1, K)."""
        name = self.inputs[0]
        mean = self.transformer.mean.get(name)
        if mean is None:
            return np.zeros((1, 1, channels), np.float32)
        swap = self.transformer.channel_swap.get(name)
        picture = mean[np.argsort(swap)] if swap is not None else mean
        return picture.transpose(1, 2, 0) / self.transformer.raw_scale.get(name, 1.0)


__all__ = ["Classifier", "Detector"]
