"""Weights found in the wild fit: real ones of cifar10_quick, and the names and shapes of others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from narrow_nets import narrowed

from layerforge.core.storage import HOST
from layerforge.io.weights import copy_weights, load_weights, save_weights
from layerforge.net.build import build_net
from layerforge.schema.weights import LayerWeights
from layerforge.zoo.catalogue import DEPLOY, TRAIN_VAL, models
from layerforge.zoo.check import built

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "models"

# The layers of Caffe's lenet_iter_10000.caffemodel: name, type, shapes.
LENET = (("mnist", "Data"), ("conv1", "Convolution", (20, 1, 5, 5), (20,)), ("pool1", "Pooling"),
         ("conv2", "Convolution", (50, 20, 5, 5), (50,)), ("pool2", "Pooling"),
         ("ip1", "InnerProduct", (500, 800), (500,)), ("relu1", "ReLU"), ("ip2", "InnerProduct", (10, 500), (10,)),
         ("loss", "SoftmaxWithLoss"))

# One layer of each published net, by the name and shape that its weights have.
PUBLISHED = {
    "googlenet": ("inception_3a/1x1", (64, 192, 1, 1)), "vgg16": ("conv5_3", (512, 512, 3, 3)),
    "resnet50": ("res2a_branch2a", (64, 64, 1, 1)), "resnet101": ("res4b22_branch2c", (1024, 256, 1, 1)),
    "mobilenet_v1": ("conv2_1/dw", (32, 1, 3, 3)), "mobilenet_v2": ("conv6_4", (1280, 320, 1, 1)),
    "squeezenet1_1": ("fire2/squeeze1x1", (16, 64, 1, 1)), "densenet121": ("conv2_1/x1", (128, 64, 1, 1)),
    "densenet201": ("conv4_48/blk", (896, 1792, 1, 1)), "se_resnet50": ("conv2_1_1x1_down", (16, 256, 1, 1)),
    "shufflenet_v1": ("resx1_conv3", (216, 18, 1, 1)), "resnext50": ("resx1_match_conv", (256, 64, 1, 1)),
    "inception_v4": ("inception_stem2_1x7", (64, 64, 1, 7)), "nin": ("cccp8-1024", (1000, 1024, 1, 1)),
    "fcn8s": ("score_pool3", (21, 256, 1, 1)), "siamese": ("feat", (2, 10)),
    "mnist_autoencoder": ("encode4", (30, 250)),
}


def test_real_cifar10_quick_weights_fit_with_no_name_left_over():
    net = built(models()["cifar10_quick"], TRAIN_VAL)
    report = load_weights(net, GOLDEN / "cifar10_quick_iter_4000.caffemodel")
    assert report.taken == ["conv1", "conv2", "conv3", "ip1", "ip2"]
    assert report.not_in_net == [] and report.not_in_file == []


def test_real_cifar10_quick_weights_give_scores_that_differ_by_picture():
    net = built(models()["cifar10_quick"], DEPLOY)
    load_weights(net, GOLDEN / "cifar10_quick_iter_4000.caffemodel")
    answers = []
    for value in (-100, 0, 100):
        net.blobs["data"].data.set(np.full((1, 3, 32, 32), value, np.float32))
        net.forward()
        answers.append(net.blobs["prob"].data.array(HOST).copy())
    assert all(abs(p.sum() - 1) < 1e-5 for p in answers) and np.ptp([p.argmax() for p in answers]) > 0


def test_the_names_and_shapes_of_real_lenet_weights_fit_with_no_name_left_over():
    weights = [LayerWeights(name, kind, [np.ones(shape, np.float32) for shape in shapes])
               for name, kind, *shapes in LENET]
    net = built(models()["lenet"], TRAIN_VAL)
    report = copy_weights(weights, net)
    assert report.taken == ["conv1", "conv2", "ip1", "ip2"]
    assert report.not_in_net == [] and report.not_in_file == []


@pytest.mark.parametrize("name", PUBLISHED)
def test_layers_have_the_names_and_shapes_of_published_weights(name):
    layer, shape = PUBLISHED[name]
    assert built(models()[name], DEPLOY).params[layer][0].shape == shape


def test_resnet50_takes_the_authors_offsets_on_the_stage_published():
    net = built(models()["resnet50"], DEPLOY, stages=["published"])
    assert [blob.shape for blob in net.params["conv1"]] == [(64, 3, 7, 7), (64,)]


def test_fcn_takes_whole_matrices_of_classes_on_the_stage_published():
    shapes = [built(models()["fcn8s"], DEPLOY, stages=stages).params["upscore8"][0].shape
              for stages in ((), ("published",))]
    assert shapes == [(21, 1, 16, 16), (21, 21, 16, 16)]


def test_an_fcn_starts_from_vgg(tmp_path):
    from layerforge.pycaffe.net import Net
    from layerforge.zoo.families.fcn import start_from_vgg

    vgg, fcn = (build_net(narrow(name, outputs)) for name, outputs in (("vgg16", 1000), ("fcn32s", 21)))
    save_weights(vgg, tmp_path / "vgg.caffemodel")
    start_from_vgg(Net.of(fcn), str(tmp_path / "vgg.caffemodel"))
    for name in ("conv1_1", "conv5_3", "fc6", "fc7"):
        np.testing.assert_array_equal(fcn.params[name][0].data.array(HOST), vgg.params[name][0].data.array(HOST))
    up = fcn.params["upscore"][0]
    row = up.data.array(HOST).reshape(up.shape)[0, 0, 31]
    assert row.argmax() in (31, 32) and row[0] < row[31]


def narrow(name, outputs):
    net = models()[name].definition(DEPLOY)
    return replace(net, layers=tuple(narrowed(layer, 16, outputs, False) for layer in net.layers))
