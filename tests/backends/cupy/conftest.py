"""Stands the CPU in for the GPU, so that the CuPy ops run on NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cpu_kernels import CpuKernels, needs_compiler
from gpu.gpu import open_gpu

from layerforge.backends.cupy import CupyOps
from layerforge.backends.numpy import NumpyOps
from layerforge.core.errors import DeviceError


def gpu_ops() -> CupyOps:
    """The ops of GPU 0; skips where there is none."""
    try:
        return open_gpu().ops
    except DeviceError as error:
        pytest.skip(f"no GPU: {error.message}")


GUARD = 4096  # bytes before and behind each array of a kernel, which must stay as they are


class Both:
    """The NumPy ops, and the CuPy ops on the CPU or the GPU, fed with the same host arrays.

    `compare("softmax", x, out=np.empty_like(x))` runs both and compares every array that was given.
    """

    numpy = NumpyOps()

    def __init__(self, ops: Any, real: Any) -> None:
        self.ops, self.real = ops, np.dtype(real)
        self._rooms: list[Any] = []

    def draw(self, rng: np.random.Generator, *shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(self.real)

    def on_device(self, value: Any) -> Any:
        """A copy of an array between two guards; everything else as it is."""
        if not isinstance(value, np.ndarray):
            return value
        room = self.ops.xp.full(value.nbytes + 2 * GUARD, 0xA5, np.uint8)
        self._rooms.append(room)
        array = room[GUARD : GUARD + value.nbytes].view(value.dtype).reshape(value.shape)
        array[...] = self.ops.xp.asarray(value)
        return array

    def on_host(self, value: Any) -> np.ndarray:
        return value.get() if hasattr(value, "get") else value

    def compare(self, method: str, *arguments: Any, rtol: float | None = None, **named: Any) -> None:
        device = [self.on_device(a) for a in arguments], {name: self.on_device(a) for name, a in named.items()}
        getattr(self.numpy, method)(*arguments, **named)
        getattr(self.ops, method)(*device[0], **device[1])
        rtol = (1e-4 if self.real == np.float32 else 1e-11) if rtol is None else rtol
        for want, got in zip([*arguments, *named.values()], [*device[0], *device[1].values()], strict=True):
            if isinstance(want, np.ndarray):
                largest = float(np.abs(want[np.isfinite(want)]).max(initial=0))
                np.testing.assert_allclose(self.on_host(got), want, rtol=rtol, atol=rtol * max(1.0, largest))
        self.check_guards(method)

    def check_guards(self, method: str) -> None:
        """Fails if anything was written beside an array that was put on the device."""
        while self._rooms:
            room = self.on_host(self._rooms.pop())
            assert (room[:GUARD] == 0xA5).all() and (room[-GUARD:] == 0xA5).all(), f"{method} wrote beside an array"


REALS_AND_PLACES = [
    pytest.param(f"{place}-{real}", marks=[pytest.mark.gpu] if place == "gpu" else [])
    for place in ("cpu", "gpu")
    for real in ("float32", "float64")
]


@pytest.fixture(params=REALS_AND_PLACES)
def both(request: pytest.FixtureRequest) -> Both:
    """Each comparison runs with the kernels built for the CPU, and on a GPU where there is one."""
    place, real = request.param.split("-")
    if place == "gpu":
        return Both(gpu_ops(), real)
    needs_compiler()
    return Both(CupyOps(np, CpuKernels()), real)
