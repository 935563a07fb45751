"""The forms of a window's fields become one Window."""

import numpy as np
import pytest

from layerforge.core.window import Window
from layerforge.layers.convolution import Convolution
from layerforge.layers.pooling import Pooling
from layerforge.testing.harness import Rig


def convolution_window(*sizes, **case):
    return Rig(Convolution, dict(num_output=1, **case), [np.zeros((1, 1, *sizes))]).layer.window


def pooling_window(*sizes, **case):
    return Rig(Pooling, case, [np.zeros((1, 1, *sizes))]).layer.window


@pytest.mark.parametrize("case, window", [
    (dict(kernel_size=[3]), Window.make((3, 3))),
    (dict(kernel_size=[3, 2], stride=[2], pad=[0, 1], dilation=[1, 3]), Window.make((3, 2), 2, (0, 1), (1, 3))),
    (dict(kernel_h=3, kernel_w=2, stride_h=1, stride_w=2), Window.make((3, 2), (1, 2))),
    (dict(kernel_size=[3], pad_h=1), Window.make((3, 3), 1, (1, 0))),
    (dict(kernel_size=[3], pad_l=1, pad_b=2), Window.make((3, 3), 1, (0, 1), 1, (2, 0))),
    (dict(kernel_size=[3], stride=[2], pad_type=1), Window.make((3, 3), 2, (0, 1), 1, (1, 1))),
    (dict(kernel_size=[3], pad=[2], pad_type=1), Window.make((3, 3), 1, 1)),
])
def test_a_convolution_says_its_window_once_or_per_axis(case, window):
    assert convolution_window(8, 9, **case) == window


@pytest.mark.parametrize("case, window", [
    (dict(kernel_size=3, stride=2, pad=1), Window.make((3, 3), 2, 1)),
    (dict(kernel_h=3, kernel_w=2, stride_h=1, stride_w=2, pad_h=0, pad_w=1), Window.make((3, 2), (1, 2), (0, 1))),
    (dict(global_pooling=True), Window.make((8, 9))),
    (dict(kernel_size=3, stride=2, pad_type=1), Window.make((3, 3), 2, (0, 1), 1, (1, 1))),
])
def test_a_pooling_says_its_window_by_numbers_or_sides(case, window):
    assert pooling_window(8, 9, **case) == window


def test_a_window_over_no_axes_is_empty():
    assert convolution_window(kernel_size=[5]) == Window.make(())
