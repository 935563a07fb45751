"""Dropout."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.layers.engine import engine_field
from layerforge.netdef.params import Params, field
from layerforge.netdef.types import Phase


class DropoutParams(Params, message="dropout_param"):
    dropout_ratio: float = field(float, 0.5, at_least=0, below=1, doc="the probability that a value is dropped")
    scale_train: bool = field(bool, True, doc="scale what is left up in TRAIN; false: scale everything down in TEST")
    random_seed: int = field(int, -1, doc="has no effect: the solver's random_seed counts (NVCaffe)")
    engine: str = engine_field()


class Dropout(Layer):
    """TRAIN: y = x · keep / (1 - dropout_ratio), keep = 1 with probability 1 - dropout_ratio, else 0;  TEST: y = x

    bottom[0]  x, any shape
    top[0]     y, the same shape; may be bottom[0] itself

    Without scale_train: y = x · keep in TRAIN, y = x · (1 - dropout_ratio) in TEST.
    Each forward pass takes one draw of the stream "mask"; value i is kept if the draw's 32-bit word i is at least
    dropout_ratio · 2³², so every backend drops the same values. The backward pass uses the same mask.
    Source: Srivastava et al. 2014; Caffe's dropout_layer.cpp; scale_train: Fast R-CNN's fork
    """

    type, Params = "Dropout", DropoutParams

    def setup(self, bottom, top):
        p, self.stream = self.params, self.rng.stream("mask")
        self.train = self.phase == Phase.TRAIN
        self.threshold = min(round(p.dropout_ratio * 2**32), 2**32 - 1)
        left = 1 - p.dropout_ratio
        self.factor = (1 / left if p.scale_train else 1.0) if self.train else (1.0 if p.scale_train else left)

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        top[0].reshape(shape)
        self.in_place = top[0].blob is bottom[0].blob
        if self.train:
            self.bits, self.mask = self.scratch(shape, "uint32"), self.kept(shape, bool)

    def forward(self, bottom, top):
        if self.train:
            self.draw()
        self._apply(bottom[0].data, top[0].data)

    def draw(self):
        """The mask of this pass."""
        bits = self.bits.data
        self.ops.random_bits(self.stream.key, self.stream.take(), bits)
        self.xp.greater_equal(bits, self.threshold, out=self.mask.data)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self._apply(top[0].diff, bottom[0].diff)

    def _apply(self, source, target):
        xp = self.xp
        if self.train:
            xp.multiply(source, self.mask.data, out=target)
        elif not self.in_place:
            xp.copyto(target, source)
        if self.factor != 1:
            xp.multiply(target, self.factor, out=target)
