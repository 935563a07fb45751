"""caffe.io: pictures, the Transformer, and conversions to and from protobuf messages."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from layerforge.core.errors import DataError
from layerforge.data.images import decode, opencv, read_file
from layerforge.pycaffe.proto import caffe_pb2


def load_image(filename: str | os.PathLike[str], color: bool = True) -> np.ndarray:
    """A picture as float32 in 0 … 1: (H, W, 3) in RGB, or (H, W, 1) of luminance with color=False.

    Raises DataError when the file is missing or is no picture.
    """
    name = os.fspath(filename)
    picture = decode(read_file(name), True, name)  # (H, W, 3) BGR bytes
    rgb = picture[:, :, ::-1].astype(np.float32) / 255
    if color:
        return np.ascontiguousarray(rgb)
    weights = np.array([0.2125, 0.7154, 0.0721], np.float32)  # the luminance of Rec. 709
    return (rgb @ weights)[:, :, None]


def resize_image(im: np.ndarray, new_dims: Sequence[int], interp_order: int = 1) -> np.ndarray:
    """(H, W, K) → (*new_dims, K), float32. interp_order 0 nearest, 1 bilinear, 3 cubic; no smoothing when reducing."""
    cv2 = opencv()
    orders = {0: cv2.INTER_NEAREST, 1: cv2.INTER_LINEAR, 3: cv2.INTER_CUBIC}
    if interp_order not in orders:
        raise ValueError(f"interp_order {interp_order} is not one of {sorted(orders)}")
    height, width = int(new_dims[0]), int(new_dims[1])
    source = np.ascontiguousarray(im, np.float32)
    order = orders[interp_order]
    planes = [cv2.resize(source[:, :, k], (width, height), interpolation=order) for k in range(source.shape[2])]
    return np.stack(planes, axis=2).astype(np.float32)


def oversample(images: Iterable[np.ndarray], crop_dims: Sequence[int]) -> np.ndarray:
    """Ten crops of each picture: four corners and the centre, then the same mirrored. (10 N, h, w, K) float32"""
    pictures = list(images)
    height, width, channels = pictures[0].shape
    h, w = int(crop_dims[0]), int(crop_dims[1])
    corners = [(y, x) for y in (0, height - h) for x in (0, width - w)]
    corners.append((int(height / 2.0 - h / 2.0), int(width / 2.0 - w / 2.0)))
    crops = np.empty((len(pictures), 10, h, w, channels), np.float32)
    for i, picture in enumerate(pictures):
        for k, (y, x) in enumerate(corners):
            crops[i, k] = picture[y : y + h, x : x + w]
        crops[i, 5:] = crops[i, :5, :, ::-1]
    return crops.reshape(-1, h, w, channels)


class Transformer:
    """Makes pictures into net inputs: resize, transpose, swap channels, raw scale, mean, input scale, in this order.

    inputs  {blob name: its shape (N, K, H, W)}
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, np.ndarray] = {}
        self.input_scale: dict[str, float] = {}

    def _shape(self, in_: str) -> tuple[int, ...]:
        if in_ not in self.inputs:
            raise ValueError(f"{in_!r} is no input of the net; the inputs are {sorted(self.inputs)}")
        return self.inputs[in_]

    def preprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """A picture (H', W', K) as (K, H, W) of the input."""
        size = self._shape(in_)[2:]
        x = np.array(data, np.float32)
        if x.shape[:2] != size:
            x = resize_image(x, size)
        if in_ in self.transpose:
            x = x.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            x = x[list(self.channel_swap[in_])]
        if in_ in self.raw_scale:
            x = x * np.float32(self.raw_scale[in_])
        if in_ in self.mean:
            x = x - self.mean[in_].astype(np.float32)
        if in_ in self.input_scale:
            x = x * np.float32(self.input_scale[in_])
        return np.asarray(x, np.float32)

    def deprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """The picture that `preprocess` made this input from (except for resizing)."""
        self._shape(in_)
        x = np.array(data).squeeze()
        if in_ in self.input_scale:
            x = x / self.input_scale[in_]
        if in_ in self.mean:
            x = x + self.mean[in_]
        if in_ in self.raw_scale:
            x = x / self.raw_scale[in_]
        if in_ in self.channel_swap:
            x = x[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            x = x.transpose(np.argsort(self.transpose[in_]))
        return x

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """The order of axes: (2, 0, 1) makes (H, W, K) into (K, H, W)."""
        if len(order) != len(self._shape(in_)) - 1:
            raise ValueError(f"the order {tuple(order)} must name {len(self._shape(in_)) - 1} axes")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """The order of channels after the transposition: (2, 1, 0) makes RGB into BGR."""
        if len(order) != self._shape(in_)[1]:
            raise ValueError(f"the order {tuple(order)} must name {self._shape(in_)[1]} channels")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Multiplies before the mean is subtracted: 255 for nets whose mean is in 0 … 255."""
        self._shape(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: np.ndarray) -> None:
        """One number per channel (K,), or an array (K, H, W), resized if it must be."""
        shape = self._shape(in_)
        mean = np.asarray(mean)
        if mean.ndim == 1:
            if len(mean) != shape[1]:
                raise ValueError(f"the mean has {len(mean)} channels, the input {shape[1]}")
            self.mean[in_] = mean[:, None, None]
            return
        full = mean[None] if mean.ndim == 2 else mean
        if full.ndim != 3:
            raise ValueError(f"a mean has 1 to 3 axes, got the shape {mean.shape}")
        if full.shape != shape[1:]:
            full = resize_image(full.transpose(1, 2, 0), shape[2:]).transpose(2, 0, 1)
        self.mean[in_] = full

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Multiplies after the mean was subtracted."""
        self._shape(in_)
        self.input_scale[in_] = scale


def blobproto_to_array(blob: Any, return_diff: bool = False) -> np.ndarray:
    """The data (or diff) of a BlobProto in its shape, legacy shapes included."""
    values = np.array(blob.diff if return_diff else blob.data, np.float32)
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return values.reshape(blob.num, blob.channels, blob.height, blob.width)
    return values.reshape(tuple(blob.shape.dim))


def array_to_blobproto(arr: np.ndarray, diff: np.ndarray | None = None) -> Any:
    """A BlobProto of an array of any shape."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(np.asarray(arr, float).ravel())
    if diff is not None:
        blob.diff.extend(np.asarray(diff, float).ravel())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[np.ndarray]) -> bytes:
    """A serialized BlobProtoVector."""
    vector = caffe_pb2.BlobProtoVector()
    vector.blobs.extend([array_to_blobproto(arr) for arr in arraylist])
    data: bytes = vector.SerializeToString()
    return data


def blobprotovector_str_to_arraylist(data: bytes) -> list[np.ndarray]:
    """The arrays of a serialized BlobProtoVector."""
    vector = caffe_pb2.BlobProtoVector()
    vector.ParseFromString(data)
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: np.ndarray, label: int | None = None) -> Any:
    """A Datum of a (K, H, W) array: bytes stay bytes, everything else becomes float_data."""
    if arr.ndim != 3:
        raise ValueError(f"a datum has 3 axes, got the shape {arr.shape}")
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = arr.shape
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(np.asarray(arr, float).ravel())
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: Any) -> np.ndarray:
    """The (K, H, W) array of a Datum that is not encoded."""
    if datum.encoded:
        raise DataError("the datum holds an encoded picture", hint="decode datum.data with an image library")
    values = np.frombuffer(datum.data, np.uint8) if datum.data else np.array(datum.float_data, float)
    return values.reshape(datum.channels, datum.height, datum.width)
