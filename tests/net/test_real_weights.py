"""Weights that others trained with Caffe: MTCNN's first net against its formulas in plain NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from layerforge.core.storage import HOST
from layerforge.io.weights import load_weights, read_weights
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import read_net

MTCNN = Path(__file__).parents[1] / "models" / "mtcnn"


def conv(x, W, b):
    """(C, H, W) by windows without padding."""
    windows = np.lib.stride_tricks.sliding_window_view(x, W.shape[2:], (1, 2))  # (C, H', W', kh, kw)
    return np.einsum("chwij,ocij->ohw", windows, W) + b[:, None, None]


def prelu(x, slope):
    return np.maximum(x, 0) + slope[:, None, None] * np.minimum(x, 0)


def pool(x):
    """Maxima of 2 × 2, rounded up: a last odd row or column makes windows of its own."""
    padded = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2)), constant_values=-np.inf)
    return padded.reshape(len(x), padded.shape[1] // 2, 2, -1, 2).max((2, 4))


def pnet(x, w):
    """(face or not (2, H', W'), box (4, H', W')) of a picture (3, H, W)."""
    x = pool(prelu(conv(x, *w["conv1"]), *w["PReLU1"]))
    x = prelu(conv(x, *w["conv2"]), *w["PReLU2"])
    x = prelu(conv(x, *w["conv3"]), *w["PReLU3"])
    scores = np.exp(conv(x, *w["conv4-1"]))
    return scores / scores.sum(0), conv(x, *w["conv4-2"])


@pytest.mark.parametrize("size", [(12, 12), (17, 24)])
def test_mtcnns_pnet_gives_what_its_formulas_give(size):
    net = build_net(read_net(MTCNN / "det1.prototxt"), Phase.TEST)
    report = load_weights(net, MTCNN / "det1.caffemodel")
    assert report.not_in_file == []
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, *size)).astype(np.float32)
    net.blobs["data"].reshape(x.shape)
    net.reshape()
    net.blobs["data"].data.set(x)
    net.forward()
    weights = {layer.name: [np.array(blob, np.float64) for blob in layer.blobs]
               for layer in read_weights(MTCNN / "det1.caffemodel") if layer.blobs}
    for blob, expected in zip(("prob1", "conv4-2"), pnet(x[0].astype(np.float64), weights)):
        got = net.blobs[blob].data.array(HOST).reshape(net.blobs[blob].shape)
        np.testing.assert_allclose(got[0], expected, rtol=1e-4, atol=1e-5)
