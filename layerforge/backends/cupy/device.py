"""Finding a CUDA device, and its memory as a representation."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from layerforge.core.errors import DeviceError, NotRecordable, OutOfMemory

INSTALL = "pip install 'layerforge[gpu]'"
PACKAGES = {
    "cupy-cuda13x": "arrays and kernels",
    "nvidia-cuda-nvrtc": "compiles the kernels",
    "nvidia-cudnn-cu13": "cuDNN",
    "nvidia-cudnn-frontend": "graphs of cuDNN",
}
"""What the extra `gpu` installs, and what for."""
OPTIONAL = {"nvidia-nvimgcodec-cu13": "decodes pictures", "nvidia-nvjpeg": "JPEG on the GPU"}
"""What the extra `gpu-io` adds."""


def load_cupy() -> Any:
    """The module cupy.

    Raises DeviceError when it is not installed or cannot be loaded.
    """
    if importlib.util.find_spec("cupy") is None:
        raise DeviceError("cupy is not installed, the GPU backend needs it", hint=INSTALL)
    try:
        return importlib.import_module("cupy")
    except Exception as error:  # CuPy raises what its broken libraries raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DeviceError(
            f"cupy is installed but cannot be loaded: {reason}", hint=f"install it again: {INSTALL}"
        ) from error


def open_device(number: int) -> Any:
    """The module cupy, once it is sure that the device with this number can be used.

    Raises DeviceError with the first of these that is missing: cupy, a driver, its CUDA major version, the device.
    """
    cupy = load_cupy()
    driver, built = driver_version(cupy), cupy.cuda.runtime.runtimeGetVersion()
    if driver == 0:
        raise DeviceError(
            "there is no NVIDIA driver, the GPU backend needs one",
            hint="`nvidia-smi` must list a GPU; or run on the CPU",
        )
    if driver // 1000 < built // 1000:
        raise DeviceError(
            f"the NVIDIA driver knows CUDA {version_text(driver)}, this cupy is built for CUDA {version_text(built)}",
            hint=f"update the driver, or install the cupy for CUDA {driver // 1000} (cupy-cuda{driver // 1000}x)",
        )
    count = device_count(cupy)
    if count == 0:
        raise DeviceError(
            f"the NVIDIA driver sees no GPU{_why_none(cupy)}",
            hint="look at CUDA_VISIBLE_DEVICES and `nvidia-smi`; or run on the CPU",
        )
    if not 0 <= number < count:
        there = "GPU 0 alone" if count == 1 else f"the GPUs 0 to {count - 1}"
        raise DeviceError(f"there is no GPU {number}, this computer has {there}", hint="device numbers start at 0")
    return cupy


def driver_version(cupy: Any) -> int:
    """The newest CUDA the driver knows, as 1000·major + 10·minor; 0 without a driver."""
    try:
        return int(cupy.cuda.runtime.driverGetVersion())
    except cupy.cuda.runtime.CUDARuntimeError:
        return 0


def device_count(cupy: Any) -> int:
    """How many devices the driver shows to this process."""
    try:
        return int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError:
        return 0


def _why_none(cupy: Any) -> str:
    """What the driver says about it, where it is more than that there is none."""
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return "" if "NoDevice" in str(error) else f": {error}"
    return ""


@contextlib.contextmanager
def using(cupy: Any, number: int) -> Iterator[None]:
    """Makes of a device that is there but refuses an error that says why: taken by others, not set up, broken."""
    try:
        yield
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(
            f"GPU {number} cannot be used: {str(error).splitlines()[0]}",
            hint="look at `nvidia-smi`: is it in use by one program alone, or in error? Or run on the CPU",
        ) from error


def describe(cupy: Any, number: int) -> str:
    """Name, memory, capability and size of one device."""
    about = cupy.cuda.runtime.getDeviceProperties(number)
    name = about["name"].decode() if isinstance(about["name"], bytes) else about["name"]
    return (
        f"{name}, {about['totalGlobalMem'] / 2**30:.0f} GiB, compute capability {about['major']}.{about['minor']}, "
        f"{about['multiProcessorCount']} multiprocessors"
    )


def versions(cupy: Any) -> str:
    """What the driver knows, and what CuPy is built for."""
    driver, built = driver_version(cupy), int(cupy.cuda.runtime.runtimeGetVersion())
    known = f"driver for CUDA {version_text(driver)}" if driver else "no driver"
    return f"{known}, cupy for CUDA {version_text(built)}"


def packages(names: Iterable[str] = (*PACKAGES, *OPTIONAL)) -> tuple[list[tuple[str, str]], list[str]]:
    """The GPU's libraries that are installed, (name, version), and the names of those that are missing."""
    found, missing = [], []
    for name in names:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    return found, missing


def version_text(version: int) -> str:
    """13020 as "13.2"."""
    return f"{version // 1000}.{version % 1000 // 10}"


class Stage:
    """Page-locked memory on the way to the device: the host goes on, and may change its array, while the copy runs."""

    def __init__(self, cupy: Any, stream: Any) -> None:
        self._cupy, self._stream = cupy, stream
        self._room: np.ndarray = np.empty(0, np.uint8)
        self._sent: Any = None

    def send(self, source: np.ndarray, target: Any) -> None:
        """Copies in the order of the stream. Waits only for the last copy from here."""
        if self._sent is None:
            self._sent = self._cupy.cuda.Event(block=True, disable_timing=True)
        else:
            self._sent.synchronize()
        size = source.size * target.dtype.itemsize
        if self._room.size < size:
            self._room = np.frombuffer(self._cupy.cuda.alloc_pinned_memory(size), np.uint8, size)
        staged = self._room[:size].view(target.dtype).reshape(target.shape)
        np.copyto(staged, source.reshape(target.shape), casting="unsafe")
        target.set(staged, stream=self._stream)
        self._stream.record(self._sent)


class DeviceMemory:
    """Plain C order in the memory of one device. Copies to the host wait for the stream, so it sees finished work."""

    plain = True

    def __init__(self, cupy: Any, device: int, stream: Any) -> None:
        self.name = f"cuda:{device}"
        self.plain = True
        self.recording = False  # what the stream is given is recorded: memory and copies are refused
        self._cupy, self._device, self._stream = cupy, device, stream
        self._stages = [Stage(cupy, stream), Stage(cupy, stream)]  # one is filled while the other travels

    def zeros(self, count: int, dtype: np.dtype[Any]) -> Any:
        self._refuse("memory has to be taken")
        with self._cupy.cuda.Device(self._device), self._stream:
            return self._within_memory(count, dtype)

    def to_host(self, source: Any, target: np.ndarray) -> None:
        self._refuse("a value has to be copied to the host")
        with self._cupy.cuda.Device(self._device):
            source.get(stream=self._stream, out=target)

    def from_host(self, source: np.ndarray, target: Any) -> None:
        self._refuse("a value has to be copied from the host")
        with self._cupy.cuda.Device(self._device):
            staged = self._stages[0]
            self._stages.reverse()  # the next copy takes the other one
            staged.send(source, target)

    def convert(self, other: Any, source: Any, target: Any) -> bool:
        """From a layout of this device, without the host between."""
        if getattr(other, "memory", None) is not self:
            return False
        other.unpack(source, target)
        return True

    def _refuse(self, what: str) -> None:
        if self.recording:
            raise NotRecordable(f"{what} in the middle of the iteration")

    def _within_memory(self, count: int, dtype: np.dtype[Any]) -> Any:
        try:
            return self._cupy.zeros(count, dtype)
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            raise self.full(count * np.dtype(dtype).itemsize) from error

    def full(self, wanted: int = 0) -> OutOfMemory:
        """The error that says how many bytes more were wanted, and what is free."""
        free, total = (int(size) for size in self._cupy.cuda.runtime.memGetInfo())
        more = f"{wanted / 2**20:.1f} MiB more" if wanted else "what an operation needs"
        return OutOfMemory(
            f"GPU {self._device} has no memory for {more}: {free / 2**30:.1f} of {total / 2**30:.1f} GiB are free",
            total, hint="use a smaller batch_size, or end other programs that use this GPU",
        )
