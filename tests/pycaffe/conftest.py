"""Small nets as files, and a backend whose memory lies apart from the host's."""

from __future__ import annotations

import numpy as np
import pytest

import layerforge as caffe
from layerforge.backends.numpy import NumpyBackend

SMALL = """
name: "small"
force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 6 random_seed: 3
snapshot_prefix: "small" snapshot_after_train: false display: 0
"""


class Apart:
    """Memory that only conversions reach, as a device's is."""

    name, plain = "apart", True

    def zeros(self, count, dtype):
        return np.zeros(count, dtype)

    def to_host(self, source, target):
        np.copyto(target, source)

    def from_host(self, source, target):
        np.copyto(target, source)


class ApartBackend(NumpyBackend):
    name, representation = "apart", Apart()


@pytest.fixture(params=["layers", "engine", "apart"])
def anywhere(request, monkeypatch):
    """Runs the test with layers alone, with engines, and with memory apart from the host's."""
    if request.param == "layers":
        monkeypatch.setenv("LAYERFORGE_ENGINE", "NONE")
    if request.param == "apart":
        monkeypatch.setattr("layerforge.pycaffe.modes.backend", ApartBackend)
    return request.param


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a text into a file of the working folder, which is a scratch folder; gives its name."""
    monkeypatch.chdir(tmp_path)

    def to(name, text):
        (tmp_path / name).write_text(text)
        return name

    return to


@pytest.fixture
def make_net(write):
    """Makes a net of a prototxt's text."""

    def make(text=SMALL, phase=caffe.TRAIN, **more):
        caffe.set_random_seed(1)
        return caffe.Net(write("net.prototxt", text), phase, **more)

    return make


@pytest.fixture
def small(make_net):
    """A net with convolution, pooling, inner product and loss, fed with some numbers."""
    net = make_net()
    feed(net)
    return net


def feed(net, seed=5):
    rng = np.random.default_rng(seed)
    net.blobs["data"].data[...] = rng.standard_normal(net.blobs["data"].shape)
    net.blobs["label"].data[...] = rng.integers(0, 5, net.blobs["label"].shape)


@pytest.fixture
def make_solver(write):
    """Makes a solver of SMALL; `more` is added to its text, `drop` taken out."""

    def make(more="", drop="\0", net=SMALL, make=caffe.get_solver):
        write("net.prototxt", net)
        solver = make(write("solver.prototxt", SOLVER.replace(drop, "") + more))
        feed(solver.net)
        return solver

    return make
