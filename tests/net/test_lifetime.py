"""A net and its memory go with the last reference to it, without waiting for the garbage collector."""

import gc
import weakref

import numpy as np
import pytest

from layerforge.core.random import Random
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

TEXT = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 2 } loss_weight: 1 }
"""


@pytest.mark.parametrize("engine", ["", "NONE"])
@pytest.mark.parametrize("keep", ["all", "outputs"])
def test_a_net_is_freed_with_its_last_reference(monkeypatch, keep, engine):
    monkeypatch.setenv("LAYERFORGE_ENGINE", engine)
    net = build_net(parse_net(TEXT), Phase.TRAIN, rng=Random(1), keep=keep)
    net.blobs["data"].data.set(np.ones(216, np.float32))
    gc.collect()
    gc.disable()
    try:
        net.forward()
        net.backward()
        left = [weakref.ref(layer) for layer in net.layers]
        del net
        assert [ref for ref in left if ref() is not None] == []
    finally:
        gc.enable()
