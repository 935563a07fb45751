"""What only a GPU can tell. `make gpu` runs it; elsewhere one skip says why it does not run."""

import numpy as np
import pytest
from golden_cases import GOLDEN, run_case
from tiny_solver import NET, parameters, solver_text

import layerforge as caffe
from layerforge.backends import get_backend
from layerforge.core.errors import DeviceError
from layerforge.core.storage import HOST
from layerforge.engines.cudnn.engine import CudnnEngine
from layerforge.engines.cudnn.library import shared_runner
from layerforge.layers.activation import ReLU, Sigmoid
from layerforge.layers.convolution import Convolution
from layerforge.layers.inner_product import InnerProduct
from layerforge.layers.pooling import Pooling
from layerforge.pycaffe import modes
from layerforge.schema.read import parse_solver
from layerforge.solver.loop import Solver
from layerforge.testing.harness import Rig

pytestmark = pytest.mark.gpu


def reason():
    """Why there is no GPU to use, "" if there is one."""
    try:
        get_backend("cupy")
    except DeviceError as error:
        return f"no GPU: {error.message}"
    return ""


WHY = reason()
CASES = sorted(GOLDEN.rglob("*.npz"))
PARAMETERS = [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in CASES]


@pytest.fixture
def device():
    if WHY:
        pytest.skip(WHY)
    return get_backend("cupy")


@pytest.mark.parametrize("path", PARAMETERS if not WHY else [pytest.param(None, id="all")])
def test_recorded_case_agrees_on_the_device(path, device, tmp_path, monkeypatch):
    monkeypatch.setattr(modes, "backend", lambda: device)
    run_case(path, tmp_path, monkeypatch)


LENET = """
name: "lenet"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 64 dim: 1 dim: 28 dim: 28 } shape { dim: 64 }
                     data_filler { type: "gaussian" } data_filler { type: "constant" value: 3 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 20 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 50 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1"
  inner_product_param { num_output: 500 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "drop1" type: "Dropout" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""


def solver(backend, net=LENET, records=True, engines=(), **changed):
    made = Solver(parse_solver(solver_text(net=net, base_lr=0.01, **changed), "solver.prototxt"), backend=backend,
                  engines=engines)
    if not records:
        made.iterations = None
        for each in (made.passes._both, made.passes._forward, made.updater.moving):
            each.reason = "switched off"
    return made


def test_replay_equals_running_step_by_step_bit_for_bit(device):
    recorded, stepwise = solver(device), solver(device, records=False)
    for each in (recorded, stepwise):
        each.step(50)
    assert not recorded.iterations.reason and recorded.iterations.launches >= 48
    for mine, theirs in zip(parameters(recorded), parameters(stepwise), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("kind", ["", "FP32", "TF32", "BF16", "FP16"])
def test_lenet_follows_the_curve_of_the_cpu(device, kind):
    engines = [CudnnEngine(device, shared_runner(device), kind)] if kind else []
    curves = []
    for backend, taken in ((get_backend(), ()), (device, engines)):
        each, losses = solver(backend, engines=taken), []
        for _ in range(500):
            each.step(1)
            losses.append(each.losses[-1])
        curves.append(np.array(losses))
    cpu, gpu = curves
    tolerance = 1e-2 if kind in ("", "FP32") else 1e-1
    assert abs(cpu[:20] - gpu[:20]).max() <= tolerance * cpu[0]
    assert np.isfinite(gpu).all() and gpu[-50:].mean() <= 1.2 * cpu[-50:].mean() + 0.01


def test_two_thousand_iterations_take_no_more_memory(device):
    each = solver(device, net=NET)
    each.step(100)
    device.synchronize()
    before = device.xp.cuda.runtime.memGetInfo()[0]
    each.step(2000)
    device.synchronize()
    assert before - device.xp.cuda.runtime.memGetInfo()[0] <= 8 << 20


GRADIENTS = [
    (Convolution, dict(num_output=4, kernel_size=[3], pad=[1]), (2, 3, 5, 6)),
    (InnerProduct, dict(num_output=5), (3, 7)),
    (Pooling, dict(kernel_size=2, stride=2), (2, 3, 6, 6)),
    (ReLU, {}, (4, 5)),
    (Sigmoid, {}, (4, 5)),
]


@pytest.mark.parametrize("layer, case, shape", GRADIENTS, ids=[layer.type for layer, _, _ in GRADIENTS])
def test_gradient_agrees_with_that_of_the_cpu(device, layer, case, shape):
    x = np.random.default_rng(1).normal(size=shape)
    found = []
    for backend in (get_backend(), device):
        rig = Rig(layer, case, [x], backend=backend, dtype=np.float64)
        tops = rig.forward()
        found.append([*rig.backward([np.ones_like(y) for y in tops]), *rig.gradients()])
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9)


def test_facade_runs_on_the_device(device, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.set_mode_gpu()
    try:
        net = caffe.Net("net.prototxt", caffe.TRAIN)
        net.forward()
        net.backward()
    finally:
        caffe.set_mode_cpu()
    assert np.isfinite(net.blobs["loss"].data).all()
    assert net.params["ip"][0].diff.shape == (3, 6) and HOST is not device.representation
