"""Pictures that a device decodes: a batch goes there compressed, and what the transformer does, one kernel does."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.errors import DataError
from layerforge.core.storage import Representation
from layerforge.data.images import check_picture, decode
from layerforge.data.transform import Transformer

log = logging.getLogger("layerforge")


class Compressed(NamedTuple):
    """A picture as it was stored.

    name   which one, in errors
    color  as `images.decode` takes it
    """

    data: bytes
    name: str
    color: bool | None


@runtime_checkable
class CompressedSource(Protocol):
    """A source whose pictures a device may decode.

    decoding  set when it does
    """

    transformer: Transformer
    decoding: Decoding | None

    def compressed(self) -> Compressed | str:
        """The first picture as it was stored; or why only the host can make batches of them."""


class Cut:
    """A batch of pictures on a device, still to be cut, mirrored, scaled and turned over: `write` does it.

    shape  (N, C, H, W) of what comes out
    """

    def __init__(self, owner: Decoding, lot: Any, cuts: np.ndarray, shape: tuple[int, ...]) -> None:
        self._owner, self._lot, self._cuts, self.shape = owner, lot, cuts, shape

    def write(self, blob: Blob, memory: Representation, layout: Representation | None = None) -> None:
        """Into the blob, of this shape: in the device's plain order, or in the layout that alone is read."""
        target = layout or memory
        mean, transformer = self._owner.mean(memory), self._owner.transformer
        self._owner.device.transform(
            self._lot, self._cuts, self.shape, blob.data.claim(target), mean=mean, scale=transformer.params.scale,
            form=getattr(layout, "form", None), dtype=blob.dtype,
        )


class Decoding:
    """How a source has its pictures decoded on a device; one by one on the host where the device cannot.

    device       see backends.cupy.pictures.DevicePictures
    transformer  what is done to them; its random numbers are those of the same record on the host
    color        of all, as `images.decode` takes it
    owner        the layer, in messages
    """

    def __init__(self, device: Any, transformer: Transformer, color: bool | None, owner: str) -> None:
        self.device, self.transformer, self.color, self.owner = device, transformer, color, owner
        self._mean: Blob | None = None
        self._said = False
        if transformer.mean is not None:
            self._mean = Blob(transformer.mean.shape, transformer.dtype, "mean")
            self._mean.data.set(transformer.mean)

    def mean(self, memory: Representation) -> Any:
        """The mean on the device, (C or 1, H or 1, W or 1); None without one."""
        return None if self._mean is None else self._mean.data.array(memory).reshape(self._mean.shape)

    def batch(self, pictures: Sequence[Compressed], record: int) -> Cut:
        """The pictures of records `record`, `record` + 1, …

        Raises DataError naming the picture that is broken, or does not become the shape of the first one.
        """
        for picture in pictures:
            check_picture(picture.data, picture.name)
        lot = self.device.decode([picture.data for picture in pictures], self.color is not None)
        for i, why in enumerate(lot.reasons):
            if why:
                self._say(pictures[i].name, why)
                self.device.put(lot, i, decode(pictures[i].data, self.color, pictures[i].name))
        shape = self.transformer.shape(*lot.pictures[0].shape)
        cuts = np.empty((len(pictures), 3), np.int64)
        for i, (picture, found) in enumerate(zip(pictures, lot.pictures)):
            require_shape(self.transformer, found.shape, shape, picture.name)
            _, height, width = found.shape
            cuts[i] = self.transformer.draw(record + i, height - shape[1], width - shape[2])
        return Cut(self, lot, cuts, (len(pictures), *shape))

    def _say(self, name: str, why: str) -> None:
        if not self._said:
            self._said = True
            log.warning("%s: %s is decoded on the CPU, as all that are like it: %s", self.owner, name, why)


def host_work(transformer: Transformer) -> str:
    """Why the host has to do what the transformer does, "" if a device can."""
    if transformer.augmenter is not None:
        return "rotation_degrees, resized_crop_param and distort_param are the CPU's"
    return "force_gray is set" if transformer.params.force_gray else ""


def require_shape(
    transformer: Transformer, picture: tuple[int, int, int], shape: tuple[int, ...], name: str
) -> None:
    """Raises DataError when a picture (C, H, W) does not become `shape`, that of its batch."""
    try:
        got = transformer.shape(*picture)
    except DataError as error:
        raise DataError(f"{name}: {error.message}", where=error.where, hint=error.hint) from None
    if got != shape:
        raise DataError(f"{name} has the shape {got}, the first picture of its batch {shape}",
                        hint="give the pictures one size and one number of channels, or write batch_size: 1")
