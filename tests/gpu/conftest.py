"""The device of the tests in this folder, or one skip that says why there is none."""

import pytest
from gpu.gpu import STANDS_IN, open_gpu, reason

from layerforge.cli import machine, options
from layerforge.core.errors import DeviceError
from layerforge.engines import VARIABLE, default_engines
from layerforge.pycaffe import modes

WHY = reason()


def one_skip(values, ids):
    """Parameters; without a GPU a single one, which is skipped."""
    return [pytest.param(v, id=i) for v, i in zip(values, ids)] if not WHY else [pytest.param(None, id="all")]


def engines_of(device, kind, monkeypatch):
    """Of cuDNN with this type; none for "". Skips where cuDNN cannot be had."""
    monkeypatch.setenv(VARIABLE, f"CUDNN:{kind}" if kind else "NONE")
    try:
        return default_engines(device)
    except DeviceError as error:
        pytest.skip(f"cuDNN cannot be used: {error.message}")


@pytest.fixture
def device():
    if WHY:
        pytest.skip(WHY)
    return open_gpu()


@pytest.fixture
def by_name(device, monkeypatch):
    """The facade and the command line find the device: on the stand-in too."""
    if STANDS_IN:
        def get_backend(name="numpy", number=0):
            return device if name == "cupy" else original(name)

        original = options.get_backend
        for module in (options, modes):
            monkeypatch.setattr(module, "get_backend", get_backend)
        monkeypatch.setattr(machine, "gpus", lambda: (["stand-in"], ""))
        monkeypatch.setattr(machine, "require_gpu", lambda number: None)
    return device
