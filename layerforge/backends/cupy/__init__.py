"""The CuPy backend: one CUDA device, its stream, memory, and kernels in CUDA C. CuPy is loaded when asked for."""

from __future__ import annotations

from functools import partial
from typing import Any

from layerforge.backends.cupy.channels import CupyChannelOps
from layerforge.backends.cupy.convolution import CupyConvolutionOps
from layerforge.backends.cupy.device import DeviceMemory, open_device, using
from layerforge.backends.cupy.flow import CupyFlowOps
from layerforge.backends.cupy.interpolation import CupyInterpolationOps
from layerforge.backends.cupy.kernels import Kernels
from layerforge.backends.cupy.linear import CupyLinearOps
from layerforge.backends.cupy.lrn import CupyLrnOps
from layerforge.backends.cupy.nvimagecodec import open_codec
from layerforge.backends.cupy.pictures import DevicePictures
from layerforge.backends.cupy.pooling import CupyPoolingOps
from layerforge.backends.cupy.position_sensitive import CupyPositionSensitiveOps
from layerforge.backends.cupy.random import CupyRandomOps
from layerforge.backends.cupy.recorder import Recorder
from layerforge.backends.cupy.reduction import CupyReductionOps
from layerforge.backends.cupy.regions import CupyRegionOps
from layerforge.backends.cupy.scatter import CupyScatterOps
from layerforge.backends.cupy.softmax import CupySoftmaxOps
from layerforge.backends.cupy.update import CupyUpdateOps
from layerforge.core.errors import DeviceError


class CupyOps(
    CupyChannelOps,
    CupyConvolutionOps,
    CupyFlowOps,
    CupyInterpolationOps,
    CupyLinearOps,
    CupyLrnOps,
    CupyPoolingOps,
    CupyPositionSensitiveOps,
    CupyRandomOps,
    CupyReductionOps,
    CupyRegionOps,
    CupyScatterOps,
    CupySoftmaxOps,
    CupyUpdateOps,
):
    """The kernels of one device. `kernels` launches them; `xp` is the array module."""

    def __init__(self, xp: Any, kernels: Any) -> None:
        self.xp, self.kernels = xp, kernels

    def __getattr__(self, name: str) -> Any:
        """Only asked for what is not there."""
        if name.startswith("_"):
            raise AttributeError(name)
        raise DeviceError(f"the GPU backend has no kernel {name} yet", hint="run this net on the CPU: solver_mode: CPU")


_shared: dict[tuple[int, int], Any] = {}  # (the module cupy, device) → backend


def shared_backend(device: int = 0) -> CupyBackend:
    """The backend of this device: made by the first who asks, in use by this thread from here on.

    Raises DeviceError as CupyBackend does.
    """
    key = id(open_device(device)), device
    if key in _shared:
        _shared[key].use()
    else:
        _shared[key] = CupyBackend(device)  # it keeps the module, so that the number stays its own
    return _shared[key]


class CupyBackend:
    """Memory, stream, array module and kernels of the CUDA device with this number.

    From here on the device and the stream are the current ones of this thread; another thread calls `use` first.

    Raises DeviceError when CuPy, the driver or the device is missing, their CUDA versions do not fit, or it refuses.
    """

    name = "cupy"

    def __init__(self, device: int = 0) -> None:
        self.xp = open_device(device)
        self.number, self.device = device, f"cuda:{device}"
        with using(self.xp, device):
            self.xp.cuda.Device(device).use()
            self.stream = self.xp.cuda.Stream(non_blocking=True)  # a captured iteration needs a stream of its own
        self.representation = DeviceMemory(self.xp, device, self.stream)
        self.ops = CupyOps(self.xp, Kernels(self.xp, device, self.stream))
        self.recorder = Recorder(self.xp, self.stream, self.ops.kernels, self.representation)
        opening = partial(open_codec, self.xp, device, self.stream)
        self.pictures = DevicePictures(self.ops.kernels, self.representation, opening)
        self.use()

    def use(self) -> None:
        """Makes this thread's array work run on this device and stream."""
        self.xp.cuda.Device(self.number).use()
        self.stream.use()

    def synchronize(self) -> None:
        """Waits until all work on the stream is done."""
        self.stream.synchronize()
