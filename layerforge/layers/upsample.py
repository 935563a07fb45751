"""Enlarging planes."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class UpsampleParams(Params, message="upsample_param"):
    scale: int = field(int, 2, at_least=1, doc="how much larger both sides become")
    scale_h: int = field(int, at_least=1, doc="how much higher, with scale_w")
    scale_w: int = field(int, at_least=1, doc="how much wider, with scale_h")
    pad_out_h: bool = field(bool, False, doc="one row less, for an odd height before pooling")
    pad_out_w: bool = field(bool, False, doc="one column less, for an odd width before pooling")
    upsample_h: int = field(int, at_least=1, doc="the output's height, in place of a scale")
    upsample_w: int = field(int, at_least=1, doc="the output's width, in place of a scale")


class Nearest(Layer):
    """y[p, q] = x[⌊p / s⌋, ⌊q / s⌋]

    sides  (s down, s across), set before reshape
    """

    def enlarge(self, bottom, top):
        n, c, h, w = self.require_planes(bottom[0])
        top[0].reshape(n, c, h * self.sides[0], w * self.sides[1])

    def require_planes(self, view):
        self.require(len(view.shape) == 4, f"bottom[0] has the shape {view.shape}, it needs 4 axes (N, C, H, W)")
        return view.shape

    def repeat(self, bottom, top):
        n, c, h, w = bottom[0].shape
        blocks = top[0].data.reshape(n, c, h, self.sides[0], w, self.sides[1])
        self.xp.copyto(blocks, bottom[0].data[:, :, :, None, :, None])

    def add_up(self, top, bottom):
        n, c, h, w = bottom[0].shape
        self.xp.sum(top[0].diff.reshape(n, c, h, self.sides[0], w, self.sides[1]), axis=(3, 5), out=bottom[0].diff)


class Upsample(Nearest):
    """With a mask: y = 0 but y[mask[p]] = x[p], of equal places the last
    Without: y[p, q] = x[⌊p / scale⌋, ⌊q / scale⌋]

    bottom[0]  x (N, C, H, W)
    bottom[1]  mask, the same shape: places in the planes of y, as Pooling's second top gives them; may be left out
    top[0]     y (N, C, scale H, scale W), or (N, C, upsample_h, upsample_w) with a mask

    Source: SegNet's upsample_layer (mask); the YOLO ports' (no mask)
    """

    type, Params = "Upsample", UpsampleParams
    bottoms, no_gradient = (1, 2), (1,)

    def setup(self, bottom, top):
        p = self.params
        self.require((p.scale_h is None) == (p.scale_w is None), "scale_h and scale_w go together",
                     hint="give both, or scale")
        self.require((p.upsample_h is None) == (p.upsample_w is None), "upsample_h and upsample_w go together",
                     hint="give both, or a scale")
        self.sides = (p.scale_h, p.scale_w) if p.scale_h else (p.scale, p.scale)
        self.masked = len(bottom) == 2
        self.require(self.masked or not (p.upsample_h or p.pad_out_h or p.pad_out_w),
                     "upsample_h, upsample_w, pad_out_h and pad_out_w need a mask",
                     hint="give Pooling's second top as bottom[1]")

    def reshape(self, bottom, top):
        if not self.masked:
            self.enlarge(bottom, top)
            return
        p, (n, c, h, w) = self.params, self.require_planes(bottom[0])
        self.require(bottom[1].shape == bottom[0].shape,
                     f"bottom[1] has the shape {bottom[1].shape}, bottom[0] {bottom[0].shape}",
                     hint="the mask has one place for each value")
        height = p.upsample_h or h * self.sides[0] - p.pad_out_h
        width = p.upsample_w or w * self.sides[1] - p.pad_out_w
        top[0].reshape(n, c, height, width)
        self.index = self.kept(bottom[0].shape, "int32")

    def forward(self, bottom, top):
        if not self.masked:
            self.repeat(bottom, top)
            return
        mask, index, y = bottom[1].data, self.index.data, top[0].data
        bad = self.ops.to_index(mask, y.shape[2] * y.shape[3], out=index, ignore=-1)
        if bad is not None:
            place = float(mask.reshape(-1)[bad])
            self.require(False, f"the mask holds {place:g}, a plane of {y.shape[2:]} has no such place",
                         hint="give upsample_h and upsample_w, or the mask of another Pooling")
        self.ops.unpool(bottom[0].data, index, out=y)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            if self.masked:
                self.ops.unpool_gradient(top[0].diff, self.index.data, out=bottom[0].diff)
            else:
                self.add_up(top, bottom)
        if self.masked and propagate_down[1]:
            bottom[1].diff.fill(0)


class UpsampleDarknetParams(Params, message="upsample_darknet_param"):
    stride: int = field(int, 1, at_least=1, doc="how much larger both sides become")


class UpsampleDarknet(Nearest):
    """y[p, q] = x[⌊p / stride⌋, ⌊q / stride⌋]

    bottom[0]  x (N, C, H, W)
    top[0]     y (N, C, stride H, stride W)

    Source: Darknet's upsample layer, in synopsys-caffe
    """

    type, Params = "UpsampleDarknet", UpsampleDarknetParams

    def reshape(self, bottom, top):
        self.sides = (self.params.stride, self.params.stride)
        self.enlarge(bottom, top)

    def forward(self, bottom, top):
        self.repeat(bottom, top)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.add_up(top, bottom)
