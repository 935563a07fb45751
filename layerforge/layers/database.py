"""Data: records of an LMDB or LevelDB database."""

from __future__ import annotations

import logging

from layerforge.data.database import DatabaseSource
from layerforge.data.reader import open_database
from layerforge.data.transform import TransformParams
from layerforge.layers.sources import PREFETCH_BATCHES, SourceLayer
from layerforge.netdef.params import Params, field

OLD_FIELDS = ("scale", "mean_file", "crop_size", "mirror", "force_encoded_color")


class DataParams(Params, message="data_param"):
    source: str = field(str, required=True, doc="the database")
    batch_size: int = field(int, required=True, at_least=1, doc="how many records a forward takes")
    backend: str = field(str, "LEVELDB", choices=("LEVELDB", "LMDB"), doc="the kind of database")
    rand_skip: int = field(int, 0, at_least=0, doc="leaves out fewer than so many records at the start, by chance")
    prefetch: int = field(int, PREFETCH_BATCHES, at_least=1, doc="how many batches are fetched ahead")
    scale: float = field(float, 1.0, doc="old, has no effect: use transform_param")
    mean_file: str = field(str, "", doc="old, has no effect: use transform_param")
    crop_size: int = field(int, 0, at_least=0, doc="old, has no effect: use transform_param")
    mirror: bool = field(bool, False, doc="old, has no effect: use transform_param")
    force_encoded_color: bool = field(bool, False, doc="old, has no effect: use force_color in transform_param")
    transform: TransformParams = field(TransformParams, TransformParams(),
                                       beside=True, doc="what is done to the pictures")


class Data(SourceLayer):
    """x, t = the next records of a database, around its end

    top[0]  x (batch_size, C, H, W), or of crop_size
    top[1]  t (batch_size,), the labels, when there is such a top

    Source: Caffe's data_layer.cpp
    """

    type, Params = "Data", DataParams
    tops = (1, 2)

    def open(self):
        p = self.params
        old_fields_warning(self)
        reader = open_database(self.find(p.source, "database", "source"), p.backend)
        transformer = self.transformer()
        source = DatabaseSource(reader, p.batch_size, transformer, labels=len(self.definition.tops) > 1,
                                skip=self.skipped(p.rand_skip))
        self.threads = self.decoders() if source.encoded or transformer.augmenter else 1
        return source


def old_fields_warning(layer: SourceLayer, fields: tuple[str, ...] = OLD_FIELDS) -> None:
    """Says that transform fields in the layer's own message have no effect, as in Caffe."""
    used = [name for name in fields if name in type(layer.params).specs() and layer.params.has(name)]
    if used:
        logging.getLogger("layerforge").warning(
            "%s: %s in %s has no effect, as in Caffe; it belongs in transform_param",
            layer.definition, ", ".join(used), type(layer.params).message)
