"""A whole training net of the zoo with a part of its channels learns by cuDNN's graphs what it learns on its own."""

import numpy as np
import pytest
from cpu_kernels import needs_compiler
from narrow_nets import reduced
from numpy_cudnn import NumpyRunner
from tape import TapeBackend

from layerforge.core.random import Random
from layerforge.core.storage import HOST
from layerforge.engines.cudnn.engine import CudnnEngine
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase

NETS = {"squeezenet1_1": 48}  # of those with sums and normalisations the small ones are in test_norm.py


def trained(definition, feeds, engine):
    backend = TapeBackend(records=False)
    engines = [CudnnEngine(backend, NumpyRunner(backend), "FP32", "outputs")] if engine else []
    net = build_net(definition, Phase.TRAIN, backend=backend, engines=engines, rng=Random(3), keep="outputs")
    rng = np.random.default_rng(2)
    for name, spec in feeds.items():
        values = rng.integers(spec["below"], size=spec["shape"]) if "below" in spec else rng.normal(size=spec["shape"])
        net.blobs[name].data.set(np.asarray(values, np.float32))
    loss = net.forward()
    net.backward()
    return net, loss


@pytest.mark.parametrize("name", NETS)
def test_narrow_net_learns_the_same(name):
    needs_compiler()
    size = NETS[name]
    definition, feeds = reduced(name, 8, {"data": [4, 3, size, size]})
    (net, loss), (plain, want) = (trained(definition, feeds, engine) for engine in (True, False))
    assert loss == pytest.approx(want, rel=1e-4)
    for mine, theirs in zip(net.learnable, plain.learnable):
        one, two = mine.blob.diff.array(HOST), theirs.blob.diff.array(HOST)
        scale = max(np.linalg.norm(two), 1e-4 * np.sqrt(two.size))  # before a normalisation offsets have noise alone
        assert np.linalg.norm(one - two) <= 1e-2 * scale, mine.name
