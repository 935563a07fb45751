"""What plans are held against: the backend's own kernels give what the graphs, computed node by node, give."""

import numpy as np
import pytest
from cpu_kernels import needs_compiler
from numpy_cudnn import NumpyRunner
from tape import TapeBackend

from layerforge.engines.cudnn.graphs import (
    BiasGradient,
    Convolution,
    DataGradient,
    Geometry,
    Norm,
    NormGradient,
    NormInference,
    WeightGradient,
)
from layerforge.engines.cudnn.reference import Reference

G = Geometry((2, 8, 5, 4), (8, 4, 3, 2), (2, 1), (1, 0), (1, 1), (1, 1))
Y = (2, 8, 3, 2)
KEYS = [
    Convolution(G, "FP32"),
    Convolution(G, "FP32", bias=True, add=True, relu=True),
    Convolution(G, "FP32", bias=True, relu=True, factor=True),
    DataGradient(G, "FP32"),
    WeightGradient(G, "FP32"),
    BiasGradient(Y, "FP32"),
    Norm(Y, "FP32"),
    Norm(Y, "FP32", add=True, relu=True),
    NormInference(Y, "FP32", add=True, relu=True),
    NormGradient(Y, "FP32"),
    NormGradient(Y, "FP32", add=True, relu=True),
]


def name_of(key):
    return key.name + "".join(f" {flag}" for flag in ("add", "relu", "factor") if getattr(key, flag, False))


@pytest.mark.parametrize("key", KEYS, ids=name_of)
def test_reference_is_what_the_graph_says(key):
    needs_compiler()
    backend = TapeBackend(records=False)
    runner, rng = NumpyRunner(backend), np.random.default_rng(5)
    arrays = {}
    for name, tensor in runner._build(key).tensors.items():
        count = int(np.prod(tensor.shape))
        drawn = rng.uniform(0.5, 1.5, count) if name in ("inv_var", "eps") else rng.standard_normal(count)
        arrays[name] = drawn.astype(np.float32)
        if name == "mask":
            arrays[name] = rng.integers(0, 256, -(-count // 8)).astype(np.uint8)
    runner.run(key, arrays)
    found = Reference(backend).outputs(key, arrays)
    assert tuple(found) == key.outputs
    for name, want in found.items():
        np.testing.assert_allclose(arrays[name], np.asarray(want).reshape(-1), rtol=1e-4, atol=1e-5, err_msg=name)


def test_order_of_a_masks_bits_is_cudnns_own():
    assert Reference(TapeBackend(records=False)).outputs(NormGradient(Y, "FP32", relu=True), {}) is None
