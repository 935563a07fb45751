"""Darknet's reordering of planes into channels."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class ReorgParams(Params, message="reorg_param"):
    stride: int = field(int, required=True, at_least=1, doc="s: planes become s times lower and narrower")
    reverse: bool = field(bool, False, doc="planes become s times higher and wider instead")


class Reorg(Layer):
    """y, read as (N, s, s, C/s², H, W) = x, read as (N, C/s², H, s, W, s), the two s moved to the front
    reverse: the way back, y read as (N, C/s², H, s, W, s) from x read as (N, s, s, C/s², H, W)

    bottom[0]  x (N, C, H, W)        C divisible by s²
    top[0]     y (N, C s², H/s, W/s), or (N, C/s², H s, W s) with reverse

    As in Darknet, whose index takes the picture for one of C/s² channels and s times the sides.
    Source: Redmon and Farhadi 2017 (YOLO9000), Darknet's reorg_layer
    """

    type, Params = "Reorg", ReorgParams

    def reshape(self, bottom, top):
        p, shape = self.params, bottom[0].shape
        self.require(len(shape) == 4, f"bottom[0] has the shape {shape}, it needs 4 axes (N, C, H, W)")
        (n, c, h, w), s = shape, p.stride
        self.require(c % (s * s) == 0, f"bottom[0] has {c} channels, which stride² does not divide",
                     hint="set stride so that its square divides the channels", field="stride")
        self.require(p.reverse or (h % s == 0 and w % s == 0), f"stride: {s} does not divide planes of {(h, w)}",
                     hint="pad the layer below", field="stride")
        few = c // (s * s)
        top[0].reshape(*((n, few, h * s, w * s) if p.reverse else (n, c * s * s, h // s, w // s)))
        self.spread, self.stacked = (n, few, h, s, w, s), (n, s, s, few, h, w)

    def _copy(self, source, target, stack):
        """spread → stacked, or back."""
        if stack:
            source, target = source.reshape(self.spread).transpose(0, 3, 5, 1, 2, 4), target.reshape(self.stacked)
        else:
            source, target = source.reshape(self.stacked), target.reshape(self.spread).transpose(0, 3, 5, 1, 2, 4)
        self.xp.copyto(target, source)

    def forward(self, bottom, top):
        self._copy(bottom[0].data, top[0].data, not self.params.reverse)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self._copy(top[0].diff, bottom[0].diff, self.params.reverse)
