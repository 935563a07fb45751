"""HDF5Data and HDF5Output: rows from and to HDF5 files."""

from __future__ import annotations

import math
import weakref

from layerforge.data.hdf5 import Hdf5Source, read_file_list
from layerforge.data.hdf5_writer import Hdf5Writer
from layerforge.layers.base import Layer
from layerforge.layers.sources import SourceLayer, naming
from layerforge.netdef.params import Params, field


class HDF5DataParams(Params, message="hdf5_data_param"):
    source: str = field(str, required=True, doc="the list of HDF5 files, a name a line")
    batch_size: int = field(int, required=True, at_least=1, doc="how many rows a forward takes")
    shuffle: bool = field(bool, False, doc="takes the files, and the rows of each, in a new order in every round")


class HDF5Data(SourceLayer):
    """top[i] = the next rows of the dataset named as the top, over the borders of files and around the end

    top[i]  (batch_size, ...) as the rows of its dataset; any type of number becomes the net's

    Source: Caffe's hdf5_data_layer.cpp
    """

    type, Params = "HDF5Data", HDF5DataParams
    tops = (1, None)

    def open(self):
        p = self.params
        self.require("transform_param" not in self.definition.params, "rows of HDF5 files are not transformed",
                     hint="remove transform_param")
        paths = read_file_list(self.find(p.source, "list of HDF5 files", "source"), self.folder)
        files, rows = (self.rng.stream("files"), self.rng.stream("rows")) if p.shuffle else (None, None)
        return Hdf5Source(paths, self.definition.tops, p.batch_size, files=files, rows=rows, dtype=self.dtype)


class HDF5OutputParams(Params, message="hdf5_output_param"):
    file_name: str = field(str, required=True, doc="the file to write")


class HDF5Output(Layer):
    """Writes bottom[0] as the dataset `data` and bottom[1] as `label`, with four axes; every forward adds its rows.

    bottom[0]  (N, ...)
    bottom[1]  (N, ...)

    The file appears when the layer is closed with its net.

    Source: Caffe's hdf5_output_layer.cpp, which takes one forward only
    """

    type, Params = "HDF5Output", HDF5OutputParams
    bottoms, tops = 2, 0
    arrays, captured, uncaptured_reason = "host", False, "writes a file"

    def setup(self, bottom, top):
        self.writer = None

    def reshape(self, bottom, top):
        for i, view in enumerate(bottom):
            self.require(0 < view.ndim <= 4, f"bottom[{i}] has {view.ndim} axes, one to four can be written")
        self.require(bottom[0].shape[0] == bottom[1].shape[0],
                     f"bottom[0] has {bottom[0].shape[0]} rows, bottom[1] {bottom[1].shape[0]}")

    def forward(self, bottom, top):
        with naming(self):
            if self.writer is None:
                self.writer = Hdf5Writer(self.params.file_name)
                self._closing = weakref.finalize(self, self.writer.close)
            self.writer.append(data=_four_axes(bottom[0]), label=_four_axes(bottom[1]))

    def backward(self, top, propagate_down, bottom):
        for view, wanted in zip(bottom, propagate_down):
            if wanted:
                view.diff[...] = 0

    def close(self) -> None:
        """Puts the file in its place; a further forward starts another one."""
        if self.writer is not None:
            self._closing()
            self.writer = None


def _four_axes(view):
    """(N, C, H, W) with ones for the axes that are missing."""
    shape = (*view.shape, 1, 1, 1)[:4]
    assert math.prod(shape) == view.count()
    return view.data.reshape(shape)
