"""Coordinates through layers, and the Crop that aligns two outputs."""

from __future__ import annotations

import pytest

from layerforge import NetSpec
from layerforge import layers as L
from layerforge.pycaffe.coord_map import AxisMismatchException, compose, coord_map_from_to, crop, inverse


def data():
    return L.Input(shape=dict(dim=[2, 1, 100, 100]))


def offset(top):
    """The offsets of the Crop that a net ends with."""
    return list(top.fn.to_proto().layer[-1].crop_param.offset)


@pytest.mark.parametrize("kernel, pad, stride", [(3, 1, 1), (3, 0, 1), (2, 0, 2), (5, 2, 4)])
def test_a_window_scales_by_its_stride_and_shifts_by_half_its_kernel(kernel, pad, stride):
    x = data()
    y = L.Convolution(x, num_output=1, kernel_size=kernel, pad=pad, stride=stride)
    axis, a, b = coord_map_from_to(y, x)
    assert (axis, a.item(), b.item()) == (1, stride, (kernel - 1) / 2 - pad)


def test_pointwise_layers_change_nothing():
    x = data()
    y = L.Eltwise(L.ReLU(x), L.Dropout(x, in_place=True))
    assert coord_map_from_to(y, x) == (None, 1, 0)


def test_maps_are_inverted():
    mapping = (1, 0.5, 3.0)
    assert compose(mapping, inverse(mapping)) == (1, 1.0, 0.0)


def test_a_deconvolution_undoes_its_convolution():
    x = data()
    down = L.Convolution(x, num_output=1, kernel_size=4, stride=2, pad=1)
    up = L.Deconvolution(down, convolution_param=dict(num_output=1, kernel_size=4, stride=2, pad=1))
    assert offset(crop(up, x)) == [0]


def test_crop_finds_the_offset_of_padding():
    x = data()
    y = L.Convolution(x, num_output=1, kernel_size=3, pad=10)
    made = crop(y, x)
    layer = made.fn.to_proto().layer[-1]
    assert layer.type == "Crop" and layer.crop_param.axis == 2 and offset(made) == [9]


@pytest.mark.parametrize("make, message", [
    (lambda x: (x, L.Pooling(x, kernel_size=2, stride=2)), "scale mismatch"),
    (lambda x: (L.Convolution(x, num_output=1, kernel_size=3), x), "negative offset"),
    (lambda x: (L.Convolution(x, num_output=1, kernel_size=2, pad=4), x), "noninteger offset")])
def test_what_cannot_be_cropped_is_refused(make, message):
    with pytest.raises(AssertionError, match=message):
        crop(*make(data()))


def test_layers_without_coordinates_do_not_connect():
    x = data()
    with pytest.raises(RuntimeError, match="not connected"):
        coord_map_from_to(L.InnerProduct(x, num_output=1), x)


def test_a_crops_second_bottom_gives_only_a_size():
    n = NetSpec()
    n.data, n.other = data(), data()
    cut = L.Crop(n.data, n.other, crop_param=dict(axis=2, offset=3))
    with pytest.raises(RuntimeError, match="not connected"):
        coord_map_from_to(cut, n.other)
    assert offset(crop(n.data, cut)) == [3]


def test_maps_along_different_axes_do_not_compose():
    with pytest.raises(AxisMismatchException):
        compose((1, 1, 0), (2, 1, 0))
