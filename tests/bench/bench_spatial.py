"""Convolution, pooling, LRN and InnerProduct at the shapes of LeNet, cifar10_quick, AlexNet, ResNet and MobileNet."""

import numpy as np
import pytest

from layerforge.layers.convolution import Convolution, Deconvolution, DepthwiseConvolution
from layerforge.layers.embed import Embed
from layerforge.layers.inner_product import InnerProduct
from layerforge.layers.interp import Interp
from layerforge.layers.lrn import LRN
from layerforge.layers.lstm import LSTM
from layerforge.layers.pooling import Pooling
from layerforge.layers.roi_pooling import ROIPooling

RNG = np.random.default_rng(0)


def values(*shape):
    return RNG.normal(size=shape).astype(np.float32)


CONVOLUTIONS = {  # name: (shape, outputs, kernel, stride, pad, group)
    "lenet_conv1": ((64, 1, 28, 28), 20, 5, 1, 0, 1),
    "lenet_conv2": ((64, 20, 12, 12), 50, 5, 1, 0, 1),
    "cifar_conv1": ((100, 3, 32, 32), 32, 5, 1, 2, 1),
    "cifar_conv2": ((100, 32, 16, 16), 32, 5, 1, 2, 1),
    "cifar_conv3": ((100, 32, 8, 8), 64, 5, 1, 2, 1),
    "alexnet_conv1": ((8, 3, 227, 227), 96, 11, 4, 0, 1),
    "alexnet_conv2": ((8, 96, 27, 27), 256, 5, 1, 2, 2),
    "alexnet_conv3": ((8, 256, 13, 13), 384, 3, 1, 1, 1),
    "resnet_1x1": ((8, 256, 56, 56), 64, 1, 1, 0, 1),
    "resnet_last": ((8, 512, 7, 7), 512, 3, 1, 1, 1),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(bench, name):
    shape, outputs, kernel, stride, pad, group = CONVOLUTIONS[name]
    w = values(outputs, shape[1] // group, kernel, kernel)

    def beside(torch, x):
        return torch.nn.functional.conv2d(x, torch.tensor(w), stride=stride, padding=pad, groups=group)

    case = dict(num_output=outputs, kernel_size=[kernel], stride=[stride], pad=[pad], group=group)
    bench(Convolution, case, [values(*shape)], beside)


def test_depthwise_convolution(bench):
    w = values(128, 1, 3, 3)
    for stride in (1, 2):
        case = dict(num_output=128, kernel_size=[3], stride=[stride], pad=[1])
        bench(DepthwiseConvolution, case, [values(8, 128, 56, 56)],
              lambda torch, x: torch.nn.functional.conv2d(x, torch.tensor(w), stride=stride, padding=1, groups=128))


def test_deconvolution(bench):
    w = values(21, 21, 4, 4)
    bench(Deconvolution, dict(num_output=21, kernel_size=[4], stride=[2]), [values(1, 21, 64, 64)],
          lambda torch, x: torch.nn.functional.conv_transpose2d(x, torch.tensor(w), stride=2))


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_pooling(bench, pool):
    of = "max_pool2d" if pool == "MAX" else "avg_pool2d"
    for shape, kernel in (((100, 32, 32, 32), 3), ((8, 64, 112, 112), 3), ((64, 20, 24, 24), 2)):
        bench(Pooling, dict(pool=pool, kernel_size=kernel, stride=2), [values(*shape)],
              lambda torch, x: getattr(torch.nn.functional, of)(x, kernel, 2, ceil_mode=True))
    bench(Pooling, dict(pool=pool, global_pooling=True), [values(8, 2048, 7, 7)])


def test_lrn(bench):
    bench(LRN, dict(alpha=1e-4), [values(8, 96, 55, 55)],
          lambda torch, x: torch.nn.functional.local_response_norm(x, 5, 1e-4, 0.75, 1.0))
    bench(LRN, dict(local_size=3, alpha=5e-5, norm_region="WITHIN_CHANNEL"), [values(100, 32, 16, 16)])


def test_inner_product(bench):
    w = values(4096, 9216)
    bench(InnerProduct, dict(num_output=4096), [values(16, 9216)], lambda torch, x: x @ torch.tensor(w).T)


def test_recurrent_and_table(bench):
    bench(LSTM, dict(num_output=256), [values(20, 16, 256), np.ones((20, 16))])
    bench(Embed, dict(input_dim=8801, num_output=1000), [RNG.integers(0, 8801, (20, 16)).astype(np.float32)])


def test_resizing_and_regions(bench):
    bench(Interp, dict(height=473, width=473), [values(1, 21, 60, 60)],
          lambda torch, x: torch.nn.functional.interpolate(x, (473, 473), mode="bilinear", align_corners=True))
    corners = np.sort(RNG.integers(0, 600, (128, 2, 2)), axis=1).reshape(128, 4)
    regions = np.concatenate([np.zeros((128, 1)), corners], axis=1).astype(np.float32)
    bench(ROIPooling, dict(pooled_h=7, pooled_w=7, spatial_scale=0.0625), [values(1, 512, 38, 38), regions])
