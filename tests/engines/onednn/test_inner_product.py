"""Which kernels inner products get."""

import pytest
from engines_compare import Pair

from layerforge.core.errors import DeviceError
from layerforge.netdef.types import Phase

try:
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)

TEXT = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 32 dim: 7 dim: 7 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param {
  num_output: 64 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "y" type: "InnerProduct" bottom: "c" top: "y" inner_product_param {
  num_output: 128 weight_filler { type: "xavier" } } }"""


@pytest.mark.parametrize("keep", ["all", "outputs"])
def test_inference_takes_a_plain_input_where_that_gives_the_faster_kernel(keep):
    pair = Pair(TEXT, Phase.TEST, keep)
    pair.forward()
    (kernel,) = pair.engine.steps[-1].kernels()
    assert "gemm:jit" not in kernel.impl and dict(kernel.layouts)["x"] == "ab"
