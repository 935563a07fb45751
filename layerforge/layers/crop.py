"""Cutting a blob to the size of another."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class CropParams(Params, message="crop_param"):
    axis: int = field(int, 2, doc="the first axis that is cut, with all behind it")
    offset: tuple[int, ...] = field(int, repeated=True, at_least=0, doc="where the cut starts: once, or for each axis")


class Crop(Layer):
    """y[..., p] = x[..., p + offset]

    bottom[0]  x (*lead, *in)         the cut axes are those from `axis` on
    bottom[1]  its sizes on the cut axes are those of y; at least as many axes as x
    top[0]     y (*lead, *sizes)

    Source: Caffe's crop_layer.cpp
    """

    type, Params = "Crop", CropParams
    bottoms, no_gradient = 2, (1,)

    def reshape(self, bottom, top):
        p, shape, sizes = self.params, bottom[0].shape, bottom[1].shape
        first = self.axis(p.axis, len(shape))
        self.require(len(sizes) >= len(shape), f"bottom[1] has {len(sizes)} axes, bottom[0] {len(shape)}")
        cut = len(shape) - first
        self.require(len(p.offset) in (0, 1, cut), f"{len(p.offset)} offsets for {cut} cut axes",
                     hint="give offset once, or once for each axis from `axis` on", field="offset")
        offsets = p.offset * cut if len(p.offset) == 1 else p.offset or (0,) * cut
        for axis, start in enumerate(offsets, first):
            self.require(start + sizes[axis] <= shape[axis],
                         f"axis {axis}: offset {start} and size {sizes[axis]} reach beyond {shape[axis]} of bottom[0]",
                         hint="reduce the offset, or pad the layer below more", field="offset")
        top[0].reshape(*shape[:first], *sizes[first : len(shape)])
        self.window = (..., *(slice(start, start + n) for start, n in zip(offsets, sizes[first:])))

    def forward(self, bottom, top):
        self.xp.copyto(top[0].data, bottom[0].data[self.window])

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            dx = bottom[0].diff
            dx.fill(0)
            dx[self.window] = top[0].diff
        if propagate_down[1]:
            bottom[1].diff.fill(0)
