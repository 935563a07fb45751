"""-gpu, solver_mode and set_mode_gpu reach the GPU's backend; a device made of NumPy stands in for it."""

import numpy as np
import pytest
from cpu_kernels import needs_compiler
from tape import TapeBackend
from tiny_solver import NET, solver_text

import layerforge as caffe
from layerforge.cli import options
from layerforge.cli.main import main
from layerforge.core.errors import DeviceError
from layerforge.pycaffe import modes


@pytest.fixture
def devices(monkeypatch, tmp_path):
    """The numbers that were asked for; the folder with solver.prototxt is the working one."""
    needs_compiler()
    monkeypatch.chdir(tmp_path)
    asked, device = [], TapeBackend()

    def get_backend(name="numpy", number=0):
        if name == "cupy":
            asked.append(number)
            return device
        return original(name)

    original = options.get_backend
    monkeypatch.setattr(options, "get_backend", get_backend)
    monkeypatch.setattr(modes, "get_backend", get_backend)
    return asked


def write(**changed):
    with open("solver.prototxt", "w") as file:
        file.write(solver_text(**changed))


def weights(name):
    net = open("net.prototxt", "w")
    net.write(NET)
    net.close()
    found = caffe.Net("net.prototxt", caffe.TRAIN, weights=name)
    return [blob.data.copy() for blobs in found.params.values() for blob in blobs]


def test_training_on_the_gpu_gives_what_the_cpu_gives(devices):
    write(snapshot_prefix='"cpu"')
    assert main(["train", "--solver", "solver.prototxt"]) == 0
    write(snapshot_prefix='"gpu"')
    assert main(["train", "-solver", "solver.prototxt", "-gpu", "1"]) == 0
    assert devices == [1]
    for one, other in zip(weights("cpu_iter_6.caffemodel"), weights("gpu_iter_6.caffemodel"), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_solver_mode_asks_for_its_device(devices):
    write(fields="solver_mode: GPU device_id: 2")
    assert main(["train", "--solver", "solver.prototxt"]) == 0
    assert devices == [2]


def test_mode_of_the_facade_asks_for_its_device(devices):
    write()
    try:
        caffe.set_device(3)
        caffe.set_mode_gpu()
        caffe.get_solver("solver.prototxt").step(3)
    finally:
        caffe.set_mode_cpu()
        caffe.set_device(0)
    assert set(devices) == {3}


def test_run_that_diverges_ends_as_on_the_cpu(devices, capsys, tmp_path):
    half = 'layer { name: "half" type: "Power" bottom: "ip" top: "half" power_param { scale: 0.5 } } '
    away = NET.replace('layer { name: "relu"', half + 'layer { name: "relu"')
    away = away.replace('"SoftmaxWithLoss"', '"EuclideanLoss"').replace('bottom: "label"', 'bottom: "half"')
    write(net=away, base_lr="1e8", fields="display: 4", max_iter=30)
    ends, said = [], []
    for where in ([], ["--gpu", "0"]):
        ends.append(main(["train", "--solver", "solver.prototxt", *where]))
        said.append([line for line in capsys.readouterr().err.splitlines() if "not finite" in line])
    assert ends == [1, 1] and said[0] == said[1] and len(said[0]) == 1


def test_missing_gpu_is_one_clear_error(monkeypatch, tmp_path, capsys):
    def get_backend(name="numpy", number=0):
        if name == "numpy":
            return original(name)
        raise DeviceError("the NVIDIA driver sees no GPU", hint="look at CUDA_VISIBLE_DEVICES")

    original = options.get_backend
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "get_backend", get_backend)
    write()
    assert main(["train", "--solver", "solver.prototxt", "--gpu", "0"]) == 1
    error = capsys.readouterr().err
    assert "the NVIDIA driver sees no GPU" in error and "Traceback" not in error
