"""Finding a device: one clear message for everything that may be missing; and device memory as a representation."""

import contextlib
import sys
import types

import numpy as np
import pytest
from tiny_solver import NET, solver_text

from layerforge.backends import get_backend
from layerforge.backends.cupy import device
from layerforge.cli.main import main
from layerforge.core.errors import DeviceError
from layerforge.core.storage import HOST, Storage


class RuntimeFault(RuntimeError):
    pass


class OutOfMemory(MemoryError):
    pass


class FakeArray(np.ndarray):
    """An array that remembers which copies were made."""

    def get(self, stream=None, out=None):
        out[...] = self
        stream.log.append("get")

    def set(self, values, stream=None):
        self[...] = values
        stream.log.append("set")


class FakeStream(contextlib.nullcontext):
    def __init__(self, non_blocking=False):
        super().__init__()
        self.log = []

    def use(self):
        self.log.append("use")

    def synchronize(self):
        self.log.append("synchronize")

    def record(self, event):
        self.log.append("record")
        event.synchronize = lambda: self.log.append("wait")


class FakeDevice(contextlib.nullcontext):
    def __init__(self, number):
        super().__init__()

    def use(self):
        pass


def fake_cupy(driver=13000, built=13020, devices=1, memory=1 << 20, fault="cudaErrorNoDevice: none is detected"):
    """A cupy that sees this driver, these devices and this much memory."""

    def count():
        if devices == 0:
            raise RuntimeFault(fault)
        return devices

    def zeros(n, dtype):
        if n * np.dtype(dtype).itemsize > memory:
            raise OutOfMemory
        return np.zeros(n, dtype).view(FakeArray)

    runtime = types.SimpleNamespace(
        CUDARuntimeError=RuntimeFault,
        driverGetVersion=lambda: driver,
        runtimeGetVersion=lambda: built,
        getDeviceCount=count,
        memGetInfo=lambda: (memory, 2 * memory),
    )
    cuda = types.SimpleNamespace(
        runtime=runtime,
        Device=FakeDevice,
        Stream=FakeStream,
        Event=types.SimpleNamespace,
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemory),
        alloc_pinned_memory=bytearray,
    )
    return types.SimpleNamespace(cuda=cuda, zeros=zeros, __spec__=types.SimpleNamespace())


@pytest.fixture
def install(monkeypatch):
    """Puts a fake cupy into its place, or takes cupy away."""

    def put(module):
        monkeypatch.setitem(sys.modules, "cupy", module)
        monkeypatch.setattr(device.importlib.util, "find_spec", lambda name: None if module is None else object())

    return put


def message(number=0):
    with pytest.raises(DeviceError) as caught:
        get_backend("cupy", number)
    assert caught.value.hint
    return caught.value.message


def test_missing_cupy_is_said(install):
    install(None)
    assert message() == "cupy is not installed, the GPU backend needs it"


def test_broken_cupy_is_said_with_its_reason(install, monkeypatch):
    install(fake_cupy())

    def broken(name):
        raise ImportError("libnvrtc.so.13: cannot open shared object file\nand much more")

    monkeypatch.setattr(device.importlib, "import_module", broken)
    assert message() == "cupy is installed but cannot be loaded: libnvrtc.so.13: cannot open shared object file"


def test_missing_driver_is_said(install):
    install(fake_cupy(driver=0))
    assert message() == "there is no NVIDIA driver, the GPU backend needs one"


def test_driver_of_another_cuda_major_is_said_with_both_versions(install):
    install(fake_cupy(driver=12040))
    assert message() == "the NVIDIA driver knows CUDA 12.4, this cupy is built for CUDA 13.2"


def test_newer_driver_is_fine(install):
    install(fake_cupy(driver=14000))
    assert get_backend("cupy").device == "cuda:0"


def test_driver_without_devices_is_said(install):
    install(fake_cupy(devices=0))
    assert message() == "the NVIDIA driver sees no GPU"


def test_driver_that_refuses_says_why(install):
    install(fake_cupy(devices=0, fault="cudaErrorSystemNotReady: system not yet initialized"))
    assert message() == "the NVIDIA driver sees no GPU: cudaErrorSystemNotReady: system not yet initialized"


def test_device_that_refuses_says_why(install, monkeypatch):
    cupy = fake_cupy()
    install(cupy)

    def busy(number):
        raise RuntimeFault("cudaErrorDevicesUnavailable: busy\nand more")

    cupy.cuda.Device = busy
    assert message() == "GPU 0 cannot be used: cudaErrorDevicesUnavailable: busy"


@pytest.mark.parametrize(
    "fake, gpu, said",
    [
        (None, "0", "cupy is not installed"),
        (dict(driver=0), "0", "there is no NVIDIA driver"),
        (dict(driver=12080), "0", "the NVIDIA driver knows CUDA 12.8, this cupy is built for CUDA 13.2"),
        (dict(devices=0), "0", "the NVIDIA driver sees no GPU"),
        (dict(devices=2), "5", "there is no GPU 5, this computer has the GPUs 0 to 1"),
    ],
    ids=["cupy", "driver", "major", "none", "number"],
)
@pytest.mark.parametrize("command", ["train", "time", "device_query"])
def test_command_line_says_it_once_and_exits_with_1(install, tmp_path, capsys, monkeypatch, fake, gpu, said, command):
    cupy = fake and fake_cupy(**fake)
    if cupy:
        about = {"name": b"GPU", "totalGlobalMem": 2**30, "major": 9, "minor": 0, "multiProcessorCount": 132}
        cupy.cuda.runtime.getDeviceProperties = lambda number: about
    install(cupy)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(solver_text())
    what = {"train": ["--solver", "solver.prototxt"], "device_query": []}.get(command, ["--model", "net.prototxt"])
    assert main([command, *what, "--gpu", gpu]) == 1
    error = capsys.readouterr().err
    assert error.count(said) == 1 and "Traceback" not in error and "hint" in error


@pytest.mark.parametrize(
    "number, devices, there", [(1, 1, "GPU 0 alone"), (4, 4, "the GPUs 0 to 3"), (-1, 2, "the GPUs 0 to 1")]
)
def test_device_number_that_is_not_there_is_said(install, number, devices, there):
    install(fake_cupy(devices=devices))
    assert message(number) == f"there is no GPU {number}, this computer has {there}"


def test_backend_works_on_its_own_stream(install):
    install(fake_cupy(devices=2))
    backend = get_backend("cupy", 1)
    assert (backend.name, backend.device, backend.xp) == ("cupy", "cuda:1", sys.modules["cupy"])
    assert backend.ops.xp is backend.xp and backend.ops.kernels.stream is backend.stream
    backend.synchronize()
    assert backend.stream.log == ["use", "synchronize"]


def test_backend_of_a_device_is_one(install):
    install(fake_cupy(devices=2))
    first = get_backend("cupy", 0)
    assert get_backend("cupy", 0) is first and get_backend("cupy", 1) is not first
    assert first.stream.log == ["use", "use"]


def test_values_travel_to_the_device_and_back(install):
    install(fake_cupy())
    backend = get_backend("cupy")
    storage = Storage(4, initial=lambda: np.arange(4))
    on_device = storage.array(backend.representation)
    assert isinstance(on_device, FakeArray) and on_device.tolist() == [0, 1, 2, 3]
    on_device += 1
    storage.wrote(backend.representation)
    assert storage.array(HOST).tolist() == [1, 2, 3, 4]
    assert backend.stream.log == ["use", "set", "record", "get"]


def test_copies_wait_for_their_own_page_alone(install):
    install(fake_cupy())
    backend = get_backend("cupy")
    target = backend.representation.zeros(3, np.dtype(np.float32))
    source = np.arange(3, dtype=np.float32)
    for _ in range(3):
        backend.representation.from_host(source, target)
        source += 1
    assert target.tolist() == [2, 3, 4]
    assert backend.stream.log == ["use", "set", "record", "set", "record", "wait", "set", "record"]


def test_larger_values_get_larger_pages(install):
    install(fake_cupy())
    memory = get_backend("cupy").representation
    for count in (2, 5, 3):
        target = memory.zeros(count, np.dtype(np.float64))
        memory.from_host(np.arange(count), target)
        assert target.tolist() == list(range(count))


def test_memory_that_suffices_is_kept_when_a_value_shrinks(install):
    install(fake_cupy())
    memory = get_backend("cupy").representation
    storage = Storage(4, initial=lambda: np.arange(4))
    storage.array(memory)
    storage.resize(2)
    assert storage.array(memory).tolist() == [0, 1]


def test_full_memory_is_said_with_what_was_wanted(install):
    install(fake_cupy(memory=2**30))
    with pytest.raises(DeviceError, match=r"GPU 0 has no memory for 4096\.0 MiB more: 1\.0 of 2\.0 GiB are free"):
        get_backend("cupy").representation.zeros(2**30, np.dtype(np.float32))


def test_real_cupy_gives_a_backend_or_a_device_error():
    try:
        backend = get_backend("cupy")
    except DeviceError as error:
        assert error.hint
        return
    values = Storage(3, initial=lambda: np.arange(3))
    assert values.array(backend.representation).get().tolist() == [0, 1, 2]
    backend.synchronize()


def test_device_is_described():
    about = {"name": b"NVIDIA H200", "totalGlobalMem": 140 * 2**30, "major": 9, "minor": 0, "multiProcessorCount": 132}
    cupy = fake_cupy(driver=13020, built=13000)
    cupy.cuda.runtime.getDeviceProperties = lambda number: about
    assert device.describe(cupy, 0) == "NVIDIA H200, 140 GiB, compute capability 9.0, 132 multiprocessors"
    assert device.versions(cupy) == "driver for CUDA 13.2, cupy for CUDA 13.0"
    assert device.versions(fake_cupy(driver=0, built=13000)) == "no driver, cupy for CUDA 13.0"


def test_missing_packages_are_listed(monkeypatch):
    def version(name):
        if "cudnn" in name:
            raise device.importlib.metadata.PackageNotFoundError
        return "14.2.0"

    monkeypatch.setattr(device.importlib.metadata, "version", version)
    found, missing = device.packages()
    assert ("cupy-cuda13x", "14.2.0") in found and missing == ["nvidia-cudnn-cu13", "nvidia-cudnn-frontend"]
    assert ("nvidia-nvjpeg", "14.2.0") in found
