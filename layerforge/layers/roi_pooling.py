"""Pooling of regions of interest."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class ROIPoolingParams(Params, message="roi_pooling_param"):
    pooled_h: int = field(int, required=True, at_least=1, doc="bins down each region")
    pooled_w: int = field(int, required=True, at_least=1, doc="bins across each region")
    spatial_scale: float = field(float, 1.0, above=0, doc="a step of the map in steps of the regions' coordinates")


class ROIPooling(Layer):
    """y[r, c, i, j] = the largest value of bin (i, j) of region r

    bottom[0]  x (N, C, H, W)
    bottom[1]  regions (R, 5) or (R, 5, 1, 1): number of the picture, x1, y1, x2, y2
    top[0]     y (R, C, pooled_h, pooled_w)

    Corners are scaled and rounded half away from zero, ends count; bins go from floor to ceiling and are cut at the
    map. An empty bin gives 0. The first of equal values gets the gradient.
    Source: Girshick 2015, Fast R-CNN's roi_pooling_layer
    """

    type, Params = "ROIPooling", ROIPoolingParams
    bottoms, no_gradient = 2, (1,)

    def reshape(self, bottom, top):
        p, shape, regions = self.params, bottom[0].shape, bottom[1].shape
        self.require(len(shape) == 4, f"bottom[0] has the shape {shape}, it needs 4 axes (N, C, H, W)")
        self.require(len(regions) >= 2 and bottom[1].count(1) == 5,
                     f"bottom[1] has the shape {regions}, expected (R, 5)",
                     hint="a row is the number of the picture, x1, y1, x2, y2")
        top[0].reshape(regions[0], shape[1], p.pooled_h, p.pooled_w)
        self.batch, self.index = self.kept((regions[0],), "int32"), self.kept(top[0].shape, "int32")
        self.numbers = self.scratch((regions[0],))

    def forward(self, bottom, top):
        x, regions, batch = bottom[0].data, bottom[1].data.reshape(-1, 5), self.batch.data
        self.xp.copyto(self.numbers.data, regions[:, 0])
        bad = self.ops.to_index(self.numbers.data, x.shape[0], out=batch)
        if bad is not None:
            self.require(False, f"region {bad} of bottom[1] is in picture {float(regions[bad, 0]):g} of {x.shape[0]}",
                         hint="pictures count from 0")
        self.ops.roi_pool(x, batch, regions, self.params.spatial_scale, out=top[0].data, index=self.index.data)

    def backward(self, top, propagate_down, bottom):
        self.require(not propagate_down[1], "regions have no gradient", hint="set propagate_down: false for them")
        if propagate_down[0]:
            self.ops.roi_pool_gradient(top[0].diff, self.batch.data, self.index.data, out=bottom[0].diff)
