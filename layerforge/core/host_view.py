"""HostView: a blob as arrays that a script or a Python layer reads and writes."""

from __future__ import annotations

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.errors import LayerError
from layerforge.core.storage import HOST, Representation, Storage


class HostView:
    """A named array with its gradient, in pycaffe's manners. Reading `data` or `diff` counts as a possible write.

    representation  NumPy arrays of the host, or for Python layers that ask for them the arrays of a device; those are
                    good until the verb ends
    """

    def __init__(self, blob: Blob, representation: Representation = HOST) -> None:
        self._blob, self._representation = blob, representation

    @property
    def data(self) -> np.ndarray:
        return self._live(self._blob.data)

    @property
    def diff(self) -> np.ndarray:
        return self._live(self._blob.diff)

    def _live(self, storage: Storage) -> np.ndarray:
        if self._representation is HOST:
            return storage.lend().reshape(self._blob.shape)
        array: np.ndarray = storage.array(self._representation)
        storage.wrote(self._representation)
        return array.reshape(self._blob.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._blob.shape

    @property
    def count(self) -> int:
        return self._blob.count

    def reshape(self, *shape: int) -> None:
        """Changes the shape: `reshape(n, c, h, w)`; what depends on it follows at `net.reshape()` or forward."""
        self._blob.reshape(shape)

    def _legacy(self, axis: int) -> int:
        shape = self._blob.shape
        if len(shape) > 4:
            raise LayerError(f"blob {self._blob.name!r} has {len(shape)} axes; width and height need four")
        return shape[axis] if axis < len(shape) else 1

    @property
    def num(self) -> int:
        return self._legacy(0)

    @property
    def channels(self) -> int:
        return self._legacy(1)

    @property
    def height(self) -> int:
        return self._legacy(2)

    @property
    def width(self) -> int:
        return self._legacy(3)
