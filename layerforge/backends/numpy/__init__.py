"""The NumPy backend: complete, float32 and float64, and the oracle of every other path."""

from __future__ import annotations

import numpy as np

from layerforge.backends.numpy.channels import NumpyChannelOps
from layerforge.backends.numpy.convolution import NumpyConvolutionOps
from layerforge.backends.numpy.flow import NumpyFlowOps
from layerforge.backends.numpy.interpolation import NumpyInterpolationOps
from layerforge.backends.numpy.linear import NumpyLinearOps
from layerforge.backends.numpy.lrn import NumpyLrnOps
from layerforge.backends.numpy.pooling import NumpyPoolingOps
from layerforge.backends.numpy.position_sensitive import NumpyPositionSensitiveOps
from layerforge.backends.numpy.random import NumpyRandomOps
from layerforge.backends.numpy.reduction import NumpyReductionOps
from layerforge.backends.numpy.regions import NumpyRegionOps
from layerforge.backends.numpy.scatter import NumpyScatterOps
from layerforge.backends.numpy.softmax import NumpySoftmaxOps
from layerforge.backends.numpy.update import NumpyUpdateOps
from layerforge.core.storage import HOST


class NumpyOps(
    NumpyChannelOps,
    NumpyConvolutionOps,
    NumpyFlowOps,
    NumpyInterpolationOps,
    NumpyLinearOps,
    NumpyLrnOps,
    NumpyPoolingOps,
    NumpyPositionSensitiveOps,
    NumpyRandomOps,
    NumpyReductionOps,
    NumpyRegionOps,
    NumpyScatterOps,
    NumpySoftmaxOps,
    NumpyUpdateOps,
):
    """All kernels on the host."""

    xp = np


class NumpyBackend:
    """Memory, array module and kernels of the host."""

    name = "numpy"
    device = "cpu"
    xp = np
    representation = HOST

    def __init__(self) -> None:
        self.ops = NumpyOps()

    def synchronize(self) -> None:
        """Waits until all work is done; NumPy's always is."""
