"""Every layer gives on the GPU's kernels what it gives on NumPy: values, gradients, parameters it keeps up to date."""

import numpy as np
import pytest
from cpu_kernels import needs_compiler
from gpu.gpu import open_gpu
from layer_tests import layer_tests
from tape import TapeBackend

from layerforge.core.errors import DeviceError
from layerforge.layers.registry import built_in

TESTS = layer_tests()
WITHOUT = {"Input", "Parameter", "Silence"}  # nothing is computed


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request):
    if request.param == "cpu":
        needs_compiler()
        return TapeBackend(records=False)
    try:
        return open_gpu()
    except DeviceError as error:
        pytest.skip(f"no GPU: {error.message}")


def run(test, case, dtype, backend):
    """All that a layer computes: tops, gradients of bottoms and parameters, parameters."""
    rig = test._rig(case, test._inputs(case), dtype=dtype, backend=backend)
    tops = rig.forward()
    down = rig.backward(test._weights(tops)) if test.gradient else []
    return [*tops, *down, *rig.gradients(), *(np.array(p) for p in rig.parameters())]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", TESTS)
def test_layer_agrees_with_numpy(name, dtype, device):
    test = TESTS[name]()
    tolerance = 1e-4 if dtype is np.float32 else 1e-10
    for case in test.cases:
        want, got = run(test, case, dtype, None), run(test, case, dtype, device)
        for mine, theirs in zip(got, want, strict=True):
            slack = tolerance * max(1.0, float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0)))
            np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=slack, err_msg=f"{case}")


def test_every_layer_of_the_device_is_among_them():
    """New layers too: each has a LayerTest, or says that it works on the host."""
    tried = {test.layer for test in TESTS.values()}
    there = {layer for layer in built_in().values() if layer.arrays == "device" and layer.captured}
    assert {layer.type for layer in there - tried} <= WITHOUT
