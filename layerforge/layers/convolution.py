"""Convolutions: forwards, backwards (deconvolution), and their columns."""

from __future__ import annotations

import math

from layerforge.layers.base import Layer
from layerforge.layers.engine import engine_field
from layerforge.layers.fillers import FillerParams
from layerforge.layers.window import FourPads, WindowParams
from layerforge.netdef.params import field


class ConvolutionParams(FourPads, WindowParams, message="convolution_param"):
    num_output: int = field(int, required=True, at_least=1, doc="the number of output channels")
    bias_term: bool = field(bool, True, doc="adds a learned offset to each output channel")
    group: int = field(int, 1, at_least=1, doc="groups the channels are split into; each sees only its own inputs")
    weight_filler: FillerParams = field(FillerParams, FillerParams(), doc="how W starts")
    bias_filler: FillerParams = field(FillerParams, FillerParams(), doc="how b starts")
    engine: str = engine_field()
    axis: int = field(int, 1, doc="the channel axis: the axes before it count samples, those behind it are spatial")
    force_nd_im2col: bool = field(bool, False, doc="has no effect: any number of spatial axes takes the same way")
    cudnn_convolution_algo_seeker: str = field(str, "FINDEX", choices=("GET", "FINDEX"), doc="has no effect (NVCaffe)")
    conv_algos_override: str = field(str, "-1,-1,-1", doc="has no effect (NVCaffe)")


class ColumnParams(ConvolutionParams):
    """The same message, of which Im2col needs only the window."""

    num_output: int = field(int, 0, at_least=0, doc="has no effect")


class Spatial(Layer):
    """Layers with a channel axis and a window on the axes behind it.

    channels, first   C and its axis
    samples           the product of the axes before it
    window            set by reshape
    """

    bottoms, tops, paired = (1, None), (1, None), True
    in_place = False

    def setup(self, bottom, top):
        shape = bottom[0].shape
        self.first = self.axis(self.params.axis, len(shape))
        self.channels, self.axes = shape[self.first], len(shape) - self.first - 1

    def place(self, bottom):
        """Reads samples and window from the bottoms' shapes, which must agree with each other and with setup."""
        shape = bottom[0].shape
        self.require(len(shape) == self.first + 1 + self.axes and shape[self.first] == self.channels,
                     f"bottom[0] has the shape {shape}, set up were {self.channels} channels on axis {self.first} "
                     f"and {self.axes} spatial axes", hint="only samples and spatial sizes may change")
        for i, view in enumerate(bottom):
            self.require(view.shape == shape, f"bottom[{i}] has the shape {view.shape}, bottom[0] {shape}",
                         hint="several bottoms share one kernel and must have one shape")
        self.samples, self.sizes = math.prod(shape[: self.first]), shape[self.first + 1 :]
        self.window = self.params.padded(self, self.params.window(self, self.sizes), self.sizes)

    def flat(self, array):
        """(*lead, C, *sizes) → (N, C, *sizes)"""
        return array.reshape(self.samples, *array.shape[self.first :])

    def require_fit(self):
        """Refuses a kernel that is larger than what it slides over."""
        w = self.window
        self.require(w.fits(self.sizes),
                     f"a kernel of {w.kernel} with dilation {w.dilation} spans {w.extent}, more than the input "
                     f"of {self.sizes} padded to {w.padded_shape(self.sizes)}", hint="reduce the kernel, or add pad")


class Convolution(Spatial):
    """y[n,o] = b[o] + Σ_c W[o,c] ⋆ x[n,c]      (⋆ is cross-correlation, as in Caffe; c runs over the group of o)

    bottom[i]  x (N, C, *in)    C divisible by group; all bottoms of one shape
    top[i]     y (N, O, *out)   out = ⌊(in + 2 pad - dilation (kernel - 1) - 1) / stride⌋ + 1
    blobs      W (O, C/group, *kernel), b (O,) when bias_term

    Any number of spatial axes, also none. Source: Caffe's base_conv_layer.cpp and conv_layer.cpp
    """

    type, Params = "Convolution", ConvolutionParams

    def setup(self, bottom, top):
        super().setup(bottom, top)
        p, self.group = self.params, self.groups()
        self.require(self.channels % self.group == 0,
                     f"bottom[0] has {self.channels} channels, which group: {self.group} does not divide",
                     hint="set group to a divisor of the channels, or check the layer below", field="group")
        self.require(p.num_output % self.group == 0,
                     f"num_output: {p.num_output}, which group: {self.group} does not divide",
                     hint="set num_output to a multiple of group", field="num_output")
        kernel = p.window(self, bottom[0].shape[self.first + 1 :]).kernel
        self.W = self.add_blob(self.weight_shape(kernel), p.weight_filler)
        self.b = self.add_blob((p.num_output,), p.bias_filler) if p.bias_term else None

    def groups(self):
        return self.params.group

    def weight_shape(self, kernel):
        return (self.params.num_output, self.channels // self.group, *kernel)

    def reshape(self, bottom, top):
        self.place(bottom)
        self.require_fit()
        lead, outputs = bottom[0].shape[: self.first], self.params.num_output
        for view in top:
            view.reshape(*lead, outputs, *self.window.out_shape(self.sizes))
        x_shape = (self.samples, self.channels, *self.sizes)
        self.columns = self.scratch((self.ops.conv_scratch(x_shape, outputs, self.window, self.group),))

    def options(self):
        return {"group": self.group, "scratch": self.columns.data}

    def forward(self, bottom, top):
        bias = self.b.data if self.b else None
        for x, y in zip(bottom, top):
            out = self.flat(y.data)
            self.ops.conv(self.flat(x.data), self.W.data, self.window, bias=bias, out=out, **self.options())

    def backward(self, top, propagate_down, bottom):
        for y, x, down in zip(top, bottom, propagate_down):
            dy = self.flat(y.diff)
            if self.b and self.needs_gradient[1]:
                self.ops.bias_gradient(dy, self.b.diff)
            if self.needs_gradient[0]:
                self.ops.conv_weight_gradient(self.flat(x.data), dy, self.window, acc=self.W.diff, **self.options())
            if down:
                self.ops.conv_data_gradient(dy, self.W.data, self.window, out=self.flat(x.diff), **self.options())


class DepthwiseConvolution(Convolution):
    """y[n,o] = b[o] + W[o] ⋆ x[n, ⌊o C/O⌋]: a Convolution with a group for each channel, unless group is given

    bottom[i]  x (N, C, *in)
    top[i]     y (N, O, *out)   O a multiple of C
    blobs      W (O, 1, *kernel), b (O,) when bias_term

    Source: Howard et al. 2017 (MobileNet); the forks' DepthwiseConvolution and ConvolutionDepthwise
    """

    type, aliases = "DepthwiseConvolution", ("ConvolutionDepthwise",)

    def groups(self):
        return self.params.group if self.params.has("group") else self.channels


class Deconvolution(Convolution):
    """y[n,o] = b[o] + Σ_c W[c,o] ∗ x[n,c] spread by stride: the data gradient of a Convolution as a forward pass

    bottom[i]  x (N, C, *in)    C divisible by group
    top[i]     y (N, O, *out)   out = stride (in - 1) + dilation (kernel - 1) + 1 - 2 pad
    blobs      W (C, O/group, *kernel), b (O,) when bias_term

    Source: Caffe's deconv_layer.cpp
    """

    type = "Deconvolution"

    def weight_shape(self, kernel):
        return (self.channels, self.params.num_output // self.group, *kernel)

    def reshape(self, bottom, top):
        self.require(self.params.pad_type == 0, "pad_type: 1 is not defined for a deconvolution", field="pad_type")
        self.place(bottom)
        lead, outputs, outs = bottom[0].shape[: self.first], self.params.num_output, self.window.in_shape(self.sizes)
        self.require(all(n >= 1 for n in outs), f"an input of {self.sizes} gives an output of {outs}",
                     hint="reduce pad")
        for view in top:
            view.reshape(*lead, outputs, *outs)
        y_shape = (self.samples, outputs, *outs)
        self.columns = self.scratch((self.ops.conv_scratch(y_shape, self.channels, self.window, self.group),))

    def forward(self, bottom, top):
        for x, y in zip(bottom, top):
            out = self.flat(y.data)
            self.ops.conv_data_gradient(self.flat(x.data), self.W.data, self.window, out=out, **self.options())
            if self.b:
                self.ops.add_bias(out, self.b.data)

    def backward(self, top, propagate_down, bottom):
        for y, x, down in zip(top, bottom, propagate_down):
            dy = self.flat(y.diff)
            if self.b and self.needs_gradient[1]:
                self.ops.bias_gradient(dy, self.b.diff)
            if self.needs_gradient[0]:
                self.ops.conv_weight_gradient(dy, self.flat(x.data), self.window, acc=self.W.diff, **self.options())
            if down:
                self.ops.conv(dy, self.W.data, self.window, out=self.flat(x.diff), **self.options())


class Im2col(Spatial):
    """y[n,(c,k),p] = x[n,c, stride p + dilation k - pad]

    bottom[i]  x (N, C, *in)           at least one spatial axis
    top[i]     y (N, C · kernel, *out)  out as of a Convolution

    Source: Caffe's im2col_layer.cpp
    """

    type, Params = "Im2col", ColumnParams

    def setup(self, bottom, top):
        super().setup(bottom, top)
        self.require(self.axes >= 1, f"bottom[0] has no axis behind the channel axis {self.first}", field="axis")

    def reshape(self, bottom, top):
        self.place(bottom)
        self.require_fit()
        for view in top:
            lead = bottom[0].shape[: self.first]
            view.reshape(*lead, self.channels * self.window.count, *self.window.out_shape(self.sizes))

    def forward(self, bottom, top):
        for x, y in zip(bottom, top):
            self.ops.im2col(self.flat(x.data), self.window, out=self.flat(y.data))

    def backward(self, top, propagate_down, bottom):
        for y, x, down in zip(top, bottom, propagate_down):
            if down:
                self.ops.col2im(self.flat(y.diff), self.window, out=self.flat(x.diff))
