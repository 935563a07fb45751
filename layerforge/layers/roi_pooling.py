"""Pooling of regions of interest."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class ROIPoolingParams(Params, message="roi_pooling_param"):
    pooled_h: int = field(int, required=True, at_least=1, doc="bins down each region")
    pooled_w: int = field(int, required=True, at_least=1, doc="bins across each region")
    spatial_scale: float = field(float, 1.0, above=0, doc="a step of the map in steps of the regions' coordinates")


class Regions(Layer):
    """Layers whose bottom[1] holds regions.

    batch  the number of each region's picture, int32; set by `read_pictures`
    """

    bottoms, no_gradient = 2, (1,)

    def require_regions(self, bottom):
        """The shapes of bottom[0] and bottom[1], checked; declares what forward needs."""
        shape, regions = bottom[0].shape, bottom[1].shape
        self.require(len(shape) == 4, f"bottom[0] has the shape {shape}, it needs 4 axes (N, C, H, W)")
        self.require(len(regions) >= 2 and bottom[1].count(1) == 5,
                     f"bottom[1] has the shape {regions}, expected (R, 5)",
                     hint="a row is the number of the picture, x1, y1, x2, y2")
        self.batch, self.numbers = self.kept((regions[0],), "int32"), self.scratch((regions[0],))
        return shape, regions

    def read_pictures(self, bottom):
        """The regions as (R, 5), their pictures' numbers checked and put into `batch`."""
        regions, pictures = bottom[1].data.reshape(-1, 5), bottom[0].shape[0]
        self.xp.copyto(self.numbers.data, regions[:, 0])
        bad = self.ops.to_index(self.numbers.data, pictures, out=self.batch.data)
        if bad is not None:
            self.require(False, f"region {bad} of bottom[1] is in picture {float(regions[bad, 0]):g} of {pictures}",
                         hint="pictures count from 0")
        return regions


class ROIPooling(Regions):
    """y[r, c, i, j] = the largest value of bin (i, j) of region r

    bottom[0]  x (N, C, H, W)
    bottom[1]  regions (R, 5) or (R, 5, 1, 1): number of the picture, x1, y1, x2, y2
    top[0]     y (R, C, pooled_h, pooled_w)

    Corners are scaled and rounded half away from zero, ends count; bins go from floor to ceiling and are cut at the
    map. An empty bin gives 0. The first of equal values gets the gradient.
    Source: Girshick 2015, Fast R-CNN's roi_pooling_layer
    """

    type, Params = "ROIPooling", ROIPoolingParams

    def reshape(self, bottom, top):
        shape, regions = self.require_regions(bottom)
        top[0].reshape(regions[0], shape[1], self.params.pooled_h, self.params.pooled_w)
        self.index = self.kept(top[0].shape, "int32")

    def forward(self, bottom, top):
        regions, scale = self.read_pictures(bottom), self.params.spatial_scale
        self.ops.roi_pool(bottom[0].data, self.batch.data, regions, scale, out=top[0].data, index=self.index.data)

    def backward(self, top, propagate_down, bottom):
        self.require(not propagate_down[1], "regions have no gradient", hint="set propagate_down: false for them")
        if propagate_down[0]:
            self.ops.roi_pool_gradient(top[0].diff, self.batch.data, self.index.data, out=bottom[0].diff)


class PSROIPoolingParams(Params, message="psroi_pooling_param"):
    spatial_scale: float = field(float, required=True, above=0, doc="a step of the map in steps of the coordinates")
    output_dim: int = field(int, required=True, at_least=1, doc="D: the channels of y")
    group_size: int = field(int, required=True, at_least=1, doc="G: bins down and across each region")


class PSROIPooling(Regions):
    """y[r, d, i, j] = the mean of bin (i, j) of region r in channel (d G + i) G + j

    bottom[0]  x (N, D G², H, W)
    bottom[1]  regions (R, 5) or (R, 5, 1, 1): number of the picture, x1, y1, x2, y2
    top[0]     y (R, D, G, G)

    An empty bin gives 0. Source: Dai et al. 2016, R-FCN's psroi_pooling_layer
    """

    type, Params = "PSROIPooling", PSROIPoolingParams

    def reshape(self, bottom, top):
        p = self.params
        shape, regions = self.require_regions(bottom)
        channels = p.output_dim * p.group_size**2
        self.require(shape[1] == channels,
                     f"bottom[0] has {shape[1]} channels, output_dim and group_size ask for {channels}",
                     hint="channels = output_dim · group_size²", field="output_dim")
        top[0].reshape(regions[0], p.output_dim, p.group_size, p.group_size)

    def forward(self, bottom, top):
        regions, scale = self.read_pictures(bottom), self.params.spatial_scale
        self.ops.ps_roi_pool(bottom[0].data, self.batch.data, regions, scale, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        self.require(not propagate_down[1], "regions have no gradient", hint="set propagate_down: false for them")
        if propagate_down[0]:
            regions, scale = bottom[1].data.reshape(-1, 5), self.params.spatial_scale
            self.ops.ps_roi_pool_gradient(top[0].diff, self.batch.data, regions, scale, out=bottom[0].diff)
