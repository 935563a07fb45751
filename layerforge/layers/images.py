"""ImageData: picture files from a list."""

from __future__ import annotations

import logging
import os

from layerforge.data.convert import folder_list
from layerforge.data.image_list import ImageSource, read_image_list
from layerforge.data.transform import TransformParams
from layerforge.layers.database import old_fields_warning
from layerforge.layers.sources import SourceLayer
from layerforge.netdef.params import Params, field


class ImageDataParams(Params, message="image_data_param"):
    source: str = field(str, required=True, doc="the list: a line `name label` for each picture; or a folder whose "
                                                "folders are the classes, in the order of their names")
    batch_size: int = field(int, 1, at_least=1, doc="how many pictures a forward takes")
    rand_skip: int = field(int, 0, at_least=0, doc="leaves out fewer than so many pictures at the start, by chance")
    shuffle: bool = field(bool, False, doc="takes the pictures in a new order in every round")
    new_height: int = field(int, 0, at_least=0, doc="the height pictures are resized to; 0: as they are")
    new_width: int = field(int, 0, at_least=0, doc="the width pictures are resized to; 0: as they are")
    is_color: bool = field(bool, True, doc="reads 3 channels (BGR); false: one")
    root_folder: str = field(str, "", doc="put before every name in the list")
    labels: int = field(int, 1, at_least=1, doc="how many numbers follow each name; from 2 on, any numbers")
    scale: float = field(float, 1.0, doc="old, has no effect: use transform_param")
    mean_file: str = field(str, "", doc="old, has no effect: use transform_param")
    crop_size: int = field(int, 0, at_least=0, doc="old, has no effect: use transform_param")
    mirror: bool = field(bool, False, doc="old, has no effect: use transform_param")
    transform: TransformParams = field(TransformParams, TransformParams(),
                                       beside=True, doc="what is done to the pictures")


class ImageData(SourceLayer):
    """x, t = the next pictures of a list, around its end

    top[0]  x (batch_size, C, H, W), or of crop_size; with batch_size 1 the pictures may differ in size
    top[1]  t (batch_size,), the labels; (batch_size, labels) from two labels on

    Source: Caffe's image_data_layer.cpp
    """

    type, Params = "ImageData", ImageDataParams
    tops = 2

    def open(self):
        p = self.params
        old_fields_warning(self)
        self.require((p.new_height > 0) == (p.new_width > 0), f"new_height: {p.new_height}, new_width: {p.new_width}",
                     hint="set both or neither", field="new_width" if p.new_width else "new_height")
        path, root = self.find(p.source, "list of pictures", "source"), p.root_folder
        if os.path.isdir(path):
            self.require(not root and p.labels == 1, f"source: {path!r} is a folder of classes",
                         hint="root_folder and labels are for lists", field="root_folder" if root else "labels")
            (classes, pictures, _), root = folder_list(path), os.path.join(path, "")
            said = ", ".join(f"{label} {name}" for label, name in enumerate(classes))
            logging.getLogger("layerforge").info("%s: the classes are %s", self.definition, said)
        else:
            pictures = read_image_list(path, p.labels)
        skip = self.skipped(p.rand_skip)
        self.require(skip < len(pictures.names), f"rand_skip skips {skip} of {len(pictures.names)} pictures",
                     field="rand_skip")
        self.threads = self.decoders()
        return ImageSource(
            pictures, p.batch_size, self.transformer(), size=(p.new_height, p.new_width) if p.new_height else None,
            color=p.is_color, root=root, folder=self.folder,
            order=self.rng.stream("shuffle") if p.shuffle else None, skip=skip)
