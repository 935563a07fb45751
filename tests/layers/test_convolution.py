"""Convolution, Deconvolution and Im2col against sums over kernel positions."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.convolution import Convolution, Deconvolution, DepthwiseConvolution, Im2col
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig


def per_axis(value, axes, default):
    """One value for each axis, by Caffe's rule."""
    value = [default] if value is None else list(np.atleast_1d(value))
    return value * axes if len(value) == 1 else value


def spots(kernel, outs, stride, dilation):
    """(kernel position, the slices of a padded input it sees) for every kernel position."""
    for place in np.ndindex(*kernel):
        yield place, tuple(
            slice(k * d, k * d + s * (o - 1) + 1, s) for k, d, s, o in zip(place, dilation, stride, outs)
        )


def correlate(x, w, stride=None, pad=None, dilation=None, group=1):
    """The convolution of x (N, C, *in) with w (O, C/group, *k), one kernel position at a time."""
    axes = x.ndim - 2
    stride, pad, dilation = per_axis(stride, axes, 1), per_axis(pad, axes, 0), per_axis(dilation, axes, 1)
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)])
    outs = [(n - d * (k - 1) - 1) // s + 1 for n, d, k, s in zip(x.shape[2:], dilation, w.shape[2:], stride)]
    y = np.zeros((x.shape[0], w.shape[0], *outs))
    per = w.shape[0] // group
    for g in range(group):
        rows, channels = slice(g * per, (g + 1) * per), slice(g * w.shape[1], (g + 1) * w.shape[1])
        for place, at in spots(w.shape[2:], outs, stride, dilation):
            seen = x[(slice(None), channels, *at)]
            y[:, rows] += np.einsum("oc,nc...->no...", w[(rows, slice(None), *place)], seen)
    return y


def spread(x, w, stride=None, pad=None, dilation=None, group=1):
    """The deconvolution of x (N, C, *in) with w (C, O/group, *k)."""
    axes = x.ndim - 2
    stride, pad, dilation = per_axis(stride, axes, 1), per_axis(pad, axes, 0), per_axis(dilation, axes, 1)
    outs = [s * (n - 1) + d * (k - 1) + 1 for n, d, k, s in zip(x.shape[2:], dilation, w.shape[2:], stride)]
    y = np.zeros((x.shape[0], w.shape[1] * group, *outs))
    per = x.shape[1] // group
    for g in range(group):
        rows, outputs = slice(g * per, (g + 1) * per), slice(g * w.shape[1], (g + 1) * w.shape[1])
        for place, at in spots(w.shape[2:], x.shape[2:], stride, dilation):
            y[(slice(None), outputs, *at)] += np.einsum("co,nc...->no...", w[(rows, slice(None), *place)], x[:, rows])
    return y[(..., *(slice(p, n - p) for p, n in zip(pad, outs)))]


def with_bias(y, blobs):
    return y + blobs[1].reshape(-1, *(1,) * (y.ndim - 2)) if len(blobs) > 1 else y


class TestConvolution(LayerTest):
    layer = Convolution
    cases = [
        dict(num_output=2, kernel_size=[3]),
        dict(num_output=3, kernel_size=[3, 2], stride=[2, 1], pad=[1, 0]),
        dict(num_output=2, kernel_size=[2], dilation=[2], pad=[1], bias_term=False),
        dict(num_output=4, kernel_size=[2], group=2, stride=[2]),
        dict(num_output=2, kernel_size=[1]),
        dict(num_output=2, kernel_size=[3], force_nd_im2col=True),
    ]

    def inputs(self, rng):
        return [rng.normal(size=(2, 4, 5, 4))]

    def expected(self, x, stride=None, pad=None, dilation=None, group=1, **_):
        return with_bias(correlate(x, self.blobs[0], stride, pad, dilation, group), self.blobs)


class TestConvolutionOfOneAxis(TestConvolution):
    cases = [dict(num_output=2, kernel_size=[3], stride=[2], pad=[1])]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 6))]


class TestConvolutionOfThreeAxes(TestConvolution):
    cases = [dict(num_output=2, kernel_size=[2, 1, 3], pad=[0, 1, 1], stride=[2, 1, 1])]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4, 2, 3))]


class TestConvolutionWithoutAxes(TestConvolution):
    cases = [dict(num_output=2, kernel_size=[3])]

    def inputs(self, rng):
        return [rng.normal(size=(4, 3))]


class TestConvolutionOfSides(LayerTest):
    layer = Convolution
    cases = [dict(num_output=2, kernel_h=1, kernel_w=3, pad_w=1, stride_h=2, stride_w=1)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 5, 4))]

    def expected(self, x, **_):
        return with_bias(correlate(x, self.blobs[0], [2, 1], [0, 1]), self.blobs)


class TestConvolutionOfALaterChannelAxis(LayerTest):
    layer = Convolution
    cases = [dict(num_output=2, kernel_size=[2], axis=2), dict(num_output=2, kernel_size=[2], axis=-3)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 2, 3, 4, 3))]

    def expected(self, x, **_):
        y = with_bias(correlate(x.reshape(4, 3, 4, 3), self.blobs[0]), self.blobs)
        return y.reshape(2, 2, *y.shape[1:])


class TestConvolutionOfSeveralBottoms(LayerTest):
    layer = Convolution
    cases = [dict(num_output=2, kernel_size=[2])]

    def inputs(self, rng):
        return [rng.normal(size=(2, 2, 3, 4)), rng.normal(size=(2, 2, 3, 4))]

    def expected(self, *xs, **_):
        return [with_bias(correlate(x, self.blobs[0]), self.blobs) for x in xs]


class TestDepthwiseConvolution(LayerTest):
    layer = DepthwiseConvolution
    cases = [
        dict(num_output=3, kernel_size=[3], pad=[1]),
        dict(num_output=6, kernel_size=[3], stride=[2], group=3, bias_term=False),
    ]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 5, 4))]

    def expected(self, x, stride=None, pad=None, **_):
        return with_bias(correlate(x, self.blobs[0], stride, pad, group=3), self.blobs)


class TestDeconvolution(LayerTest):
    layer = Deconvolution
    cases = [
        dict(num_output=3, kernel_size=[3], stride=[2], pad=[1]),
        dict(num_output=2, kernel_size=[2], bias_term=False),
        dict(num_output=4, kernel_size=[2], group=2, stride=[3]),
        dict(num_output=2, kernel_size=[2], dilation=[2]),
        dict(num_output=1, kernel_size=[1]),
    ]

    def inputs(self, rng):
        return [rng.normal(size=(2, 4, 3, 2))]

    def expected(self, x, stride=None, pad=None, dilation=None, group=1, **_):
        return with_bias(spread(x, self.blobs[0], stride, pad, dilation, group), self.blobs)


class TestDeconvolutionOfThreeAxes(TestDeconvolution):
    cases = [dict(num_output=2, kernel_size=[2, 3, 1], stride=[2, 1, 2])]

    def inputs(self, rng):
        return [rng.normal(size=(1, 2, 2, 3, 2))]


class TestIm2col(LayerTest):
    layer = Im2col
    cases = [
        dict(kernel_size=[2]),
        dict(kernel_size=[3, 2], stride=[2, 1], pad=[1, 1]),
        dict(kernel_size=[2], dilation=[2]),
    ]

    def inputs(self, rng):
        return [rng.normal(size=(2, 2, 5, 4))]

    def expected(self, x, kernel_size, stride=None, pad=None, dilation=None):
        kernel = per_axis(kernel_size, 2, None)
        identity = np.eye(2 * kernel[0] * kernel[1]).reshape(-1, 2, *kernel)
        return correlate(x, identity, stride, pad, dilation)


def rig(case, shape=(1, 4, 5, 5), layer=Convolution, **more):
    return Rig(layer, dict(dict(num_output=2, kernel_size=[3]), **case), [np.zeros(shape)], **more)


def test_deconvolution_stores_inputs_first():
    made = Rig(Deconvolution, dict(num_output=6, kernel_size=[3, 2], group=2), [np.zeros((1, 4, 3, 3))])
    assert [p.shape for p in made.parameters()] == [(4, 3, 3, 2), (6,)]


def test_the_samples_and_sizes_may_change_later():
    made = rig(dict(pad=[1]))
    x = np.random.default_rng(0).normal(size=(3, 4, 2, 7))
    made.parameters()[0][...] = w = np.random.default_rng(1).normal(size=(2, 4, 3, 3))
    np.testing.assert_allclose(made.forward([x])[0], correlate(x, w, pad=[1]), rtol=1e-4, atol=1e-5)


def test_frozen_parameters_get_no_gradient():
    made = rig({})
    made.forward()
    made.layer.needs_gradient[:] = [False, False]
    made.backward([np.ones((1, 2, 3, 3))])
    assert not any(g.any() for g in made.gradients())


def test_pad_type_1_gives_a_size_divided_by_the_stride():
    made = rig(dict(stride=[2], pad_type=1), (1, 4, 6, 7))
    assert made.forward()[0].shape == (1, 2, 3, 4)
    assert (made.layer.window.pad, made.layer.window.pad_end) == ((0, 1), (1, 1))


def test_four_pads_go_to_the_four_sides():
    window = rig(dict(pad_l=1, pad_t=2, pad_r=3, pad_b=4)).layer.window
    assert (window.pad, window.pad_end) == ((2, 1), (4, 3))


@pytest.mark.parametrize("case, shape, words", [
    (dict(group=3), (1, 4, 5, 5), "4 channels, which group: 3 does not divide"),
    (dict(num_output=3, group=2), (1, 4, 5, 5), "num_output: 3, which group: 2 does not divide"),
    (dict(kernel_size=[3, 3, 3]), (1, 4, 5, 5), "kernel_size is given 3 times for 2 spatial axes"),
    (dict(kernel_size=[]), (1, 4, 5, 5), "kernel_size is missing"),
    (dict(kernel_size=[0]), (1, 4, 5, 5), "kernel_size: 0, must be at least 1"),
    (dict(stride=[0]), (1, 4, 5, 5), "stride: 0, must be at least 1"),
    (dict(kernel_h=3), (1, 4, 5, 5), "kernel_size and kernel_h are both given"),
    (dict(kernel_size=None, kernel_h=3), (1, 4, 5, 5), "kernel_h is given without its partner"),
    (dict(kernel_size=None, kernel_h=3, kernel_w=3), (1, 4, 5), "for two spatial axes"),
    (dict(stride_h=1), (1, 4, 5, 5), "stride_h is given without its partner"),
    (dict(pad=[1], pad_w=1), (1, 4, 5, 5), "pad and pad_w are both given"),
    (dict(pad=[1], pad_l=1), (1, 4, 5, 5), "pad and pad_t, pad_l, pad_b, pad_r are both given"),
    (dict(kernel_size=[6]), (1, 4, 5, 5), "spans (6, 6), more than the input"),
    (dict(axis=4), (1, 4, 5, 5), "axis: 4, but the blob has 4 axes"),
    (dict(pad_type=2), (1, 4, 5, 5), "pad_type: 2"),
])
def test_a_wrong_window_is_refused(case, shape, words):
    with pytest.raises(LayerForgeError, match=r".*") as caught:
        rig(case, shape)
    assert words in str(caught.value)


def test_bottoms_of_different_shapes_are_refused():
    with pytest.raises(LayerForgeError, match="several bottoms share one kernel"):
        Rig(Convolution, dict(num_output=1, kernel_size=[1]), [np.zeros((1, 2, 3, 3)), np.zeros((1, 2, 3, 4))])
