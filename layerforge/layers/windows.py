"""WindowData: windows of pictures, on objects and on background."""

from __future__ import annotations

from layerforge.data.transform import TransformParams
from layerforge.data.windows import WindowSource, read_window_list
from layerforge.layers.database import old_fields_warning
from layerforge.layers.sources import SourceLayer
from layerforge.netdef.params import Params, field


class WindowDataParams(Params, message="window_data_param"):
    source: str = field(str, required=True, doc="the window file: pictures, each with its windows")
    batch_size: int = field(int, required=True, at_least=1, doc="how many windows a forward takes")
    fg_threshold: float = field(float, 0.5, doc="windows that overlap an object by so much are foreground")
    bg_threshold: float = field(float, 0.5, doc="windows that overlap objects by less are background")
    fg_fraction: float = field(float, 0.25, at_least=0, at_most=1, doc="the share of foreground windows in a batch")
    context_pad: int = field(int, 0, at_least=0, doc="pixels of surroundings around a window, after warping")
    crop_mode: str = field(str, "warp", choices=("warp", "square"), doc="the window itself, or the square around it")
    cache_images: bool = field(bool, False, doc="reads all picture files at the start")
    root_folder: str = field(str, "", doc="put before every name in the window file")
    scale: float = field(float, 1.0, doc="what values are multiplied by; that of transform_param has no effect")
    mean_file: str = field(str, "", doc="old, has no effect: use transform_param")
    crop_size: int = field(int, 0, at_least=0, doc="old, has no effect: use transform_param")
    mirror: bool = field(bool, False, doc="old, has no effect: use transform_param")
    transform: TransformParams = field(TransformParams, TransformParams(),
                                       beside=True, doc="crop_size, mirror and mean")


class WindowData(SourceLayer):
    """x, t = windows drawn by chance, warped to crop_size: first those on background, then those on objects

    top[0]  x (batch_size, C, crop_size, crop_size)
    top[1]  t (batch_size,), the classes; 0 is background

    Source: Caffe's window_data_layer.cpp; Girshick et al. 2014
    """

    type, Params = "WindowData", WindowDataParams
    tops = 2

    def open(self):
        p = self.params
        crop = p.transform.crop_size
        self.require(crop > 0, "transform_param needs a crop_size, the side that windows are warped to")
        self.require(2 * p.context_pad < crop, f"context_pad: {p.context_pad} leaves nothing of crop_size: {crop}",
                     field="context_pad")
        self.require(not p.transform.augments, "windows are not rotated, resized at random or recoloured",
                     hint="remove rotation_degrees, resized_crop_param and distort_param")
        old_fields_warning(self, ("mean_file", "crop_size", "mirror"))
        transformer = self.transformer()
        windows = read_window_list(self.find(p.source, "window file", "source"), p.fg_threshold, p.bg_threshold)
        mean = transformer.mean
        if mean is not None:
            fits = len(mean) in (1, windows.channels) if not p.transform.mean_file else (
                len(mean) == windows.channels and min(mean.shape[1:]) >= crop and mean.shape[1] == mean.shape[2])
            self.require(fits, f"the mean has the shape {mean.shape}, windows are {(windows.channels, crop, crop)}",
                         hint="the mean file is square and at least as large as crop_size")
        self.threads = self.decoders()
        return WindowSource(
            windows, p.batch_size, transformer, self.rng.stream("windows"), fraction=p.fg_fraction,
            context=p.context_pad, square=p.crop_mode == "square", scale=p.scale, root=p.root_folder,
            folder=self.folder, cache=p.cache_images)
