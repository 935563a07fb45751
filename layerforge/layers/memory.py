"""MemoryData: arrays of a script."""

from __future__ import annotations

import logging
import math

import numpy as np

from layerforge.core.errors import LayerError
from layerforge.data.transform import TransformParams
from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class MemoryDataParams(Params, message="memory_data_param"):
    batch_size: int = field(int, required=True, at_least=1, doc="how many rows a forward takes")
    channels: int = field(int, required=True, at_least=1, doc="the second axis of the rows")
    height: int = field(int, required=True, at_least=1, doc="the third axis of the rows")
    width: int = field(int, required=True, at_least=1, doc="the fourth axis of the rows")
    transform: TransformParams = field(TransformParams, TransformParams(),
                                       beside=True, doc="has no effect on arrays, as in Caffe")


class MemoryData(Layer):
    """x, t = the next rows of the arrays that a script has set, around their end

    top[0]  x (batch_size, channels, height, width)
    top[1]  t (batch_size, 1, 1, 1)

    The arrays are not copied: what a script writes into them later counts.

    Source: Caffe's memory_data_layer.cpp
    """

    type, Params = "MemoryData", MemoryDataParams
    bottoms, tops = 0, 2
    arrays, captured, uncaptured_reason = "host", False, "takes its batches from the host"

    def setup(self, bottom, top):
        p = self.params
        self.row = (p.channels, p.height, p.width)
        self.data = self.labels = None
        self.next_row = 0
        if "transform_param" in self.definition.params:
            logging.getLogger("layerforge").warning("%s: transform_param has no effect on arrays", self.definition)

    def set_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Gives the rows: data (n, channels, height, width) and n labels, n a multiple of batch_size.

        Raises LayerError when they do not fit.
        """
        data, labels = np.asarray(data), np.asarray(labels)
        self.require(data.ndim > 0 and data.size == len(data) * math.prod(self.row),
                     f"the data has the shape {data.shape}, (n, {', '.join(map(str, self.row))}) is needed")
        n = len(data)
        batch_size = self.params.batch_size
        self.require(n > 0 and n % batch_size == 0, f"{n} rows are no multiple of batch_size: {batch_size}")
        self.require(labels.size == n, f"{labels.size} labels for {n} rows")
        self.data, self.labels = data.reshape(n, *self.row), labels.reshape(n, 1, 1, 1)
        self.next_row = 0

    def reshape(self, bottom, top):
        top[0].reshape(self.params.batch_size, *self.row)
        top[1].reshape(self.params.batch_size, 1, 1, 1)

    def forward(self, bottom, top):
        if self.data is None:
            raise LayerError(f"{self.definition} has no data yet", where=self.definition.where,
                             hint="call net.set_input_arrays(data, labels) first")
        rows = slice(self.next_row, self.next_row + self.params.batch_size)
        top[0].data[...] = self.data[rows]
        top[1].data[...] = self.labels[rows]
        self.next_row = rows.stop % len(self.data)

    def state(self) -> dict[str, int]:
        """The next row."""
        return {"row": self.next_row}

    def load_state(self, state) -> None:
        """Goes on at a saved row; the arrays must be set again first."""
        self.next_row = int(state["row"])
