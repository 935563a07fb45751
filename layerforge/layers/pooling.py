"""Pooling of planes."""

from __future__ import annotations

from layerforge.core.window import Axes, Window
from layerforge.layers.base import Layer
from layerforge.layers.engine import engine_field
from layerforge.layers.window import FourPads, PlaneWindowParams
from layerforge.netdef.params import field
from layerforge.netdef.types import Phase

METHODS = ("MAX", "AVE", "STOCHASTIC", "AVE_EXC_PAD", "AVE_TF")


class PoolingParams(FourPads, PlaneWindowParams, message="pooling_param"):
    pool: str = field(str, "MAX", choices=METHODS,
                      doc="the largest value, the mean, a drawn value, or the mean without padding")
    engine: str = engine_field()
    global_pooling: bool = field(bool, False, doc="the window covers the whole plane")
    round_mode: str = field(str, "CEIL", choices=("CEIL", "FLOOR"), doc="whether a last, partly filled window counts")
    ceil_mode: bool = field(bool, True, doc="true: CEIL, false: FLOOR, where round_mode is not given (a fork's form)")
    torch_pooling: bool = field(bool, False, doc="true: FLOOR, where round_mode is not given (another fork's form)")


def pooled_shape(window: Window, sizes: Axes, *, ceil: bool) -> Axes:
    """How many windows fit: ⌈(size + pad + pad_end - kernel) / stride⌉ + 1, or ⌊⌋.

    With padding, a last window that would start at size + pad or later is dropped.
    """
    outs = []
    for n, whole, k, s, pad in zip(sizes, window.padded_shape(sizes), window.kernel, window.stride, window.pad):
        out = (-(-(whole - k) // s) if ceil else (whole - k) // s) + 1
        outs.append(out - 1 if window.padded and (out - 1) * s >= n + pad else out)
    return tuple(outs)


class Pooling(Layer):
    """MAX: y = the largest value of the window;  AVE: its mean
    STOCHASTIC: y = a value drawn with a probability proportional to it; in TEST the expectation, Σ x² / Σ x

    bottom[0]  x (N, C, H, W)
    top[0]     y (N, C, Ho, Wo)   Ho = ⌈(H + 2 pad - kernel) / stride⌉ + 1, or ⌊⌋; see `pooled_shape`
    top[1]     of MAX, may be left out: the place of the maximum in its plane, h W + w, as a number

    A window is cut at the plane. AVE divides by its size cut at H + pad, so padding counts and an overhang does not;
    AVE_EXC_PAD (or AVE_TF) by the number of values inside the plane. MAX: of equal values the first in row order.
    Source: Caffe's pooling_layer.cpp and .cu; stochastic pooling: Zeiler and Fergus 2013
    """

    type, Params = "Pooling", PoolingParams
    tops, in_place = (1, 2), False

    def setup(self, bottom, top):
        p = self.params
        self.method = "AVE" if p.pool.startswith("AVE") else p.pool
        self.count_padding = p.pool == "AVE"
        self.ceil = p.round_mode == "CEIL" if p.has("round_mode") else p.ceil_mode and not p.torch_pooling
        self.train = self.phase == Phase.TRAIN
        self.require(len(top) == 1 or self.method == "MAX", f"pool: {p.pool} has one top, here are {len(top)}",
                     hint="only MAX knows the places of its values", field="pool")
        self.stream = self.rng.stream("pool")

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        self.require(len(shape) == 4, f"bottom[0] has the shape {shape}, it needs 4 axes (N, C, H, W)")
        self.window = self.find_window(shape[2:])
        self.check_window(self.window, shape[2:])
        outs = pooled_shape(self.window, shape[2:], ceil=self.ceil)
        self.require(all(n >= 1 for n in outs), f"a window of {self.window.kernel} does not fit into {shape[2:]}",
                     hint="reduce kernel_size, or add pad")
        for view in top:
            view.reshape(*shape[:2], *outs)
        if self.method != "AVE":
            self.index = self.kept(top[0].shape, "int32")
        if self.method == "MAX" and not self.train:
            self.again = self.scratch(top[0].shape)
        if self.method == "STOCHASTIC" and self.train:
            self.bits, self.uniform = self.scratch(top[0].shape, "uint32"), self.scratch(top[0].shape)

    def find_window(self, sizes):
        p = self.params
        window = p.window(self, sizes, whole=p.global_pooling)
        return window if p.global_pooling else p.padded(self, window, sizes)

    def check_window(self, window, sizes):
        for pads in (window.pad, window.pad_end):
            self.require(all(p < k for p, k in zip(pads, window.kernel)),
                         f"pad {pads} must be smaller than the window {window.kernel}",
                         hint="a window that lies in the padding has no value", field="pad")
        self.require(not window.padded or self.method != "STOCHASTIC", "STOCHASTIC takes no padding",
                     hint="use MAX or AVE", field="pad")

    def forward(self, bottom, top):
        x, y, ops = bottom[0].data, top[0].data, self.ops
        if self.method == "AVE":
            ops.average_pool(x, self.window, out=y, count_padding=self.count_padding)
        elif self.method == "STOCHASTIC":
            self._draw(x, y)
        elif self.train or len(top) > 1:
            ops.max_pool(x, self.window, out=y, index=self.index.data)
            if len(top) > 1:
                self.xp.copyto(top[1].data, self.index.data, casting="unsafe")
        else:  # places cost more than values: only backward needs them, and finds them then
            ops.max_pool(x, self.window, out=y)

    def _draw(self, x, y):
        if not self.train:
            self.ops.weighted_pool(x, self.window, out=y)
            return
        xp, bits, uniform = self.xp, self.bits.data, self.uniform.data
        self.ops.random_bits(self.stream.key, self.stream.take(), bits)
        xp.right_shift(bits, 8, out=bits)  # 24 bits, which float32 holds
        xp.multiply(bits, 2.0**-24, out=uniform, casting="unsafe")
        self.ops.stochastic_pool(x, self.window, uniform, out=y, index=self.index.data)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        dy, dx = top[0].diff, bottom[0].diff
        if self.method == "AVE":
            self.ops.average_pool_gradient(dy, self.window, out=dx, count_padding=self.count_padding)
            return
        if not self.train:
            self.require(self.method == "MAX", "STOCHASTIC has no gradient in the TEST phase")
            if len(top) == 1:
                self.ops.max_pool(bottom[0].data, self.window, out=self.again.data, index=self.index.data)
        self.ops.max_pool_gradient(dy, self.index.data, self.window, out=dx)
